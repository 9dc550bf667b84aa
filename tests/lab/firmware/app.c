/* The program that UEFI firmware finds on a LUN as \EFI\BOOT\BOOTX64.EFI. It reads \INPUT.BIN from the volume
 * it came from, tells the sum of its bytes on the second serial port, writes the bytes to \COPY.BIN, and ends
 * QEMU (isa-debug-exit). Types are those of the UEFI specification as far as they are needed here: tables are
 * lists of pointers, and an entry is known by its place. */

#include <stddef.h>
#include <stdint.h>

typedef uint64_t efi_status;
#define EFI __attribute__((ms_abi))

struct guid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
};
static const struct guid loaded_image_guid = {
    0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static const struct guid file_system_guid = {
    0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};

struct boot_services {
    uint64_t header[3];
    void *before[16];
    efi_status(EFI *handle_protocol)(void *handle, const struct guid *protocol, void **interface);
};

struct system_table {
    uint64_t header[3];
    uint16_t *vendor;
    uint64_t revision;
    void *consoles[6];
    void *runtime_services;
    struct boot_services *boot_services;
};

struct loaded_image {
    uint64_t revision;
    void *parent;
    struct system_table *system_table;
    void *device;
};

struct file {
    uint64_t revision;
    efi_status(EFI *open)(struct file *, struct file **, const uint16_t *name, uint64_t mode,
                          uint64_t attributes);
    efi_status(EFI *close)(struct file *);
    efi_status(EFI *remove)(struct file *);
    efi_status(EFI *read)(struct file *, uint64_t *size, void *to);
    efi_status(EFI *write)(struct file *, uint64_t *size, const void *from);
    void *between[4];
    efi_status(EFI *flush)(struct file *);
};

struct file_system {
    uint64_t revision;
    efi_status(EFI *open_volume)(struct file_system *, struct file **root);
};

enum { MODE_READ = 1, MODE_READ_WRITE = 3 };
static const uint64_t mode_create = UINT64_C(1) << 63 | MODE_READ_WRITE;

static void out(uint16_t port, uint8_t byte)
{
    __asm__ volatile("outb %0, %1" : : "a"(byte), "Nd"(port));
}

static void say(const char *text)
{
    for (; *text; text++) {
        uint8_t ready;
        do {
            __asm__ volatile("inb %1, %0" : "=a"(ready) : "Nd"((uint16_t)0x2fd));
        } while (!(ready & 0x20));
        out(0x2f8, (uint8_t)*text);
    }
}

static void say_sum(uint32_t sum)
{
    char digits[] = "sum 00000000\n";
    for (int i = 11; i >= 4; i--, sum >>= 4)
        digits[i] = "0123456789abcdef"[sum & 15];
    say(digits);
}

static uint8_t data[256 * 1024];

/* NULL when all went well, else what did not. */
static const char *work(void *image, struct system_table *system)
{
    efi_status(EFI * find)(void *, const struct guid *, void **) = system->boot_services->handle_protocol;
    struct loaded_image *self;
    struct file_system *volume;
    struct file *root, *input, *copy;
    if (find(image, &loaded_image_guid, (void **)&self) ||
        find(self->device, &file_system_guid, (void **)&volume))
        return "no file system\n";
    if (volume->open_volume(volume, &root) || root->open(root, &input, u"\\INPUT.BIN", MODE_READ, 0))
        return "no INPUT.BIN\n";
    uint64_t size = sizeof data;
    if (input->read(input, &size, data))
        return "cannot read\n";
    uint32_t sum = 0;
    for (uint64_t i = 0; i < size; i++)
        sum += data[i];
    say_sum(sum);
    uint64_t written = size;
    if (root->open(root, &copy, u"\\COPY.BIN", mode_create, 0) || copy->write(copy, &written, data) ||
        written != size)
        return "cannot write\n";
    if (copy->flush(copy) || copy->close(copy) || input->close(input) || root->close(root))
        return "cannot flush\n";
    return NULL;
}

efi_status EFI efi_main(void *image, struct system_table *system)
{
    say("boot program runs\n");
    const char *wrong = work(image, system);
    say(wrong ? wrong : "copy written\n");
    out(0xf4, 0x10);
    return 0;
}
