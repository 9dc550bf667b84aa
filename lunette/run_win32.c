/* Windows: a child with the same console and handles; this program waits for it and ends with its exit code.
 */
#include "lunette/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

#include <windows.h>

#define PATH_LEN_MAX 32768u

/* Beside this program, then in PATH. The caller frees. */
static wchar_t *find(const char *name)
{
    wchar_t file[RUN_NAME_MAX + 8], *own = calloc(PATH_LEN_MAX, sizeof *own),
                                    *out = calloc(PATH_LEN_MAX, sizeof *out);
    DWORD len = 0;
    swprintf(file, sizeof file / sizeof *file, L"%hs.exe", name);
    if (own && out && GetModuleFileNameW(NULL, own, PATH_LEN_MAX) < PATH_LEN_MAX) {
        wchar_t *slash = wcsrchr(own, L'\\');
        if (slash) {
            slash[1] = 0;
            len = SearchPathW(own, file, NULL, PATH_LEN_MAX, out, NULL);
        }
    }
    if (out && len == 0)
        len = SearchPathW(NULL, file, NULL, PATH_LEN_MAX, out, NULL);
    free(own);
    if (len > 0 && len < PATH_LEN_MAX)
        return out;
    free(out);
    return NULL;
}

bool run_exists(const char *name)
{
    wchar_t *path = find(name);
    free(path);
    return path != NULL;
}

/* What follows the first word of a command line: quotes keep blanks together. */
static const wchar_t *skip_word(const wchar_t *at)
{
    bool quoted = false;
    while (*at && (quoted || (*at != L' ' && *at != L'\t'))) {
        if (*at == L'\\' && at[1] == L'"')
            at++;
        else if (*at == L'"')
            quoted = !quoted;
        at++;
    }
    while (*at == L' ' || *at == L'\t')
        at++;
    return at;
}

/* Both get the interrupt; the other program decides what it means. */
static BOOL WINAPI wait_on(DWORD event)
{
    return event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT;
}

/* The user's own words go on as they were written: no quoting is taken apart and put together again. */
int run_program(const char *name, char **argv)
{
    wchar_t *path = find(name);
    const wchar_t *rest = skip_word(skip_word(GetCommandLineW()));
    size_t cap = wcslen(rest) + RUN_NAME_MAX + 4;
    wchar_t *line = calloc(cap, sizeof *line);
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;
    DWORD code = 0;
    int result = path ? RUN_FAILED : RUN_NOT_FOUND;
    (void)argv;
    if (path && line) {
        swprintf(line, cap, L"%hs %ls", name, rest);
        SetConsoleCtrlHandler(wait_on, TRUE);
        if (!CreateProcessW(path, line, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process)) {
            fprintf(stderr, "lunette: %s: error %lu\n", name, (unsigned long)GetLastError());
        } else {
            WaitForSingleObject(process.hProcess, INFINITE);
            if (GetExitCodeProcess(process.hProcess, &code))
                result = code <= 255 ? (int)code : 255;
            CloseHandle(process.hThread);
            CloseHandle(process.hProcess);
        }
    }
    free(path);
    free(line);
    return result;
}
