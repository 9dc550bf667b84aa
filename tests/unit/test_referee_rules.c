/* Goal: each rule of the referee is broken by something, is found then at every vantage it claims and at no
 * other, and nothing else is found with it (but where two sides that disagree go on disagreeing).
 * docs/referee.md says what the table says. Method: a good conversation, one change (referee_broken.h), the
 * finding that has to come; a rule without such a row fails the test. With LUNETTE_REFEREE_DOC=FILE in the
 * environment the list of rules is written there. */
#include "conformance/referee/rules.h"

#include "tests/unit/referee_broken.h"
#include "tests/unit/referee_good.h"

static const char *const vantage_names[] = {"initiator", "target", "between"};

/* ---- scripts that take more than a line ---- */

/* Room for one turn at `at`, with the header of a PDU of this kind by the rules of the builder. */
static struct turn *insert(struct talk *k, size_t at)
{
    memmove(&k->turns[at + 1], &k->turns[at], (k->count - at) * sizeof k->turns[0]);
    k->count++;
    return &k->turns[at];
}

static size_t find_turn(struct talk *k, const char *tag, unsigned n)
{
    size_t at = 0;
    (void)talk_find(k, tag, n, &at);
    return at;
}

static void third_connection(struct talk *k)
{
    size_t at = find_turn(k, "scsi_command", 1), from = find_turn(k, "login_request", 3);
    for (unsigned i = 0; i < 4; i++) {
        struct turn *t = insert(k, at + i);
        *t = k->turns[from + i];
        t->conn = 2;
        if (has(t, "cid"))
            put(t, "cid", 3);
    }
}

/* A TMF for the second connection's read, on the first. */
static void elsewhere(struct talk *k, unsigned function)
{
    size_t at = find_turn(k, "data_in", 1), command_at = find_turn(k, "scsi_command", 4);
    uint64_t sn = get(&k->turns[command_at], "cmd_sn"), exp = get(&k->turns[command_at - 1], "stat_sn");
    struct turn *t = insert(k, at);
    memset(t, 0, sizeof *t);
    t->full = true;
    t->bhs[0] = PDU_OP_task_management_request | 0x40;
    put(t, "final", 1);
    put(t, "function", function);
    put(t, "lun", GOOD_LUN);
    put(t, "itt", 0x66);
    put(t, "referenced_task_tag", 0x22);
    put(t, "cmd_sn", sn + 1);
    put(t, "ref_cmd_sn", sn);
    put(t, "exp_stat_sn", exp);
}

/* The last PDU before this one that has a StatSN. */
static struct turn *find_before(struct talk *k, size_t at)
{
    while (!has(&k->turns[--at], "stat_sn"))
        ;
    return &k->turns[at];
}

static void reassign_live(struct talk *k)
{
    size_t at = find_turn(k, "data_in", 1);
    struct turn *t = insert(k, at);
    uint64_t exp = get(&k->turns[at - 1], "exp_stat_sn"), sn = get(&k->turns[at - 1], "cmd_sn");
    memset(t, 0, sizeof *t);
    t->full = true;
    t->bhs[0] = PDU_OP_task_management_request | 0x40;
    put(t, "final", 1);
    put(t, "function", 8);
    put(t, "itt", 0x66);
    put(t, "referenced_task_tag", 0x20);
    put(t, "cmd_sn", sn + 1);
    put(t, "exp_stat_sn", exp);
}

static void reassign_done(struct talk *k)
{
    size_t at = find_turn(k, "data_in", 1);
    uint64_t sn = get(&k->turns[at], "exp_cmd_sn"), stat_sn = get(find_before(k, at), "stat_sn") + 1;
    reassign_live(k);
    struct turn *t = insert(k, at + 1);
    memset(t, 0, sizeof *t);
    t->full = true;
    t->bhs[0] = PDU_OP_task_management_response;
    put(t, "final", 1);
    put(t, "itt", 0x66);
    put(t, "stat_sn", stat_sn);
    put(t, "exp_cmd_sn", sn);
    put(t, "max_cmd_sn", sn + 15);
}

static void rejected_tmf(struct talk *k)
{
    size_t at = find_turn(k, "task_management_response", 2),
           asked = find_turn(k, "task_management_request", 2);
    struct turn *t = &k->turns[at];
    uint32_t stat_sn = (uint32_t)get(t, "stat_sn"), exp = (uint32_t)get(t, "exp_cmd_sn"),
             max = (uint32_t)get(t, "max_cmd_sn");
    memset(t->bhs, 0, sizeof t->bhs);
    t->bhs[0] = PDU_OP_reject;
    put(t, "final", 1);
    put(t, "reason", 5);
    put(t, "itt", PDU_TAG_RESERVED);
    put(t, "stat_sn", stat_sn);
    put(t, "exp_cmd_sn", exp);
    put(t, "max_cmd_sn", max);
    memcpy(t->data, k->turns[asked].bhs, PDU_BHS_LEN);
    t->data_len = PDU_BHS_LEN;
}

static void late_snack(struct talk *k, unsigned type)
{
    size_t at = find_turn(k, "logout_request", 1);
    uint64_t exp = get(&k->turns[at], "exp_stat_sn");
    struct turn *t = insert(k, at);
    memset(t, 0, sizeof *t);
    t->full = true;
    t->bhs[0] = PDU_OP_snack_request;
    put(t, "final", 1);
    put(t, "type", type);
    put(t, "itt", type == 2 ? PDU_TAG_RESERVED : 0x20);
    put(t, "ttt", type == 2 ? 0x500 : PDU_TAG_RESERVED);
    put(t, "exp_stat_sn", exp);
}

static void change_ahs(struct talk *k, const char *args)
{
    char *end;
    unsigned long offset = strtoul(args, &end, 0);
    k->turns[find_turn(k, "scsi_command", 1)].ahs[offset] = (uint8_t)strtoul(end, NULL, 0);
}

/* $LONGn: n letters; $HEXn: n digits; $RECORDSn: as many records of SendTargets as fill n bytes. */
static void expand(const char *script, char *out, size_t cap)
{
    size_t at = 0;
    while (*script && at + 1 < cap) {
        unsigned n;
        int used = 0;
        if (sscanf(script, "$LONG%u%n", &n, &used) == 1 || sscanf(script, "$HEX%u%n", &n, &used) == 1) {
            memset(out + at, 'a', n);
            at += n;
        } else if (sscanf(script, "$RECORDS%u%n", &n, &used) == 1) {
            for (unsigned sum = 0; sum < n; sum += 37) {
                memcpy(out + at, "TargetName=iqn.2004-10.org.example:a|", 37);
                at += 37;
            }
        } else {
            out[at++] = *script;
            used = 1;
        }
        script += used;
    }
    out[at] = 0;
}

static void break_by(struct talk *k, const char *script)
{
    static char text_of[6000];
    char *dollar;
    expand(script, text_of, sizeof text_of);
    dollar = strchr(text_of, '$');
    if (dollar) {
        if (dollar > text_of) {
            dollar[-1] = 0;
            *strrchr(text_of, ';') = 0;
            talk_break(k, text_of);
        }
        if (strcmp(dollar, "$THIRD") == 0)
            third_connection(k);
        else if (strcmp(dollar, "$ABORT_ELSEWHERE") == 0)
            elsewhere(k, 1);
        else if (strcmp(dollar, "$QUERY_ELSEWHERE") == 0)
            elsewhere(k, 9);
        else if (strcmp(dollar, "$REASSIGN") == 0)
            reassign_live(k);
        else if (strcmp(dollar, "$REJECTED_TMF") == 0)
            rejected_tmf(k);
        else if (strcmp(dollar, "$LATE_SNACK") == 0)
            late_snack(k, 0);
        else if (strcmp(dollar, "$LATE_ACK") == 0)
            late_snack(k, 2);
        else if (strcmp(dollar, "$REASSIGN_DONE") == 0)
            reassign_done(k);
        else if (strncmp(dollar, "$AHS ", 5) == 0)
            change_ahs(k, dollar + 5);
        else
            fail_msg("no such script: %s", dollar);
        return;
    }
    talk_break(k, text_of);
}

/* ---- one rule at one vantage ---- */

static const struct referee_rule *rule_of(const char *tag)
{
    size_t count;
    const struct referee_rule *rules = referee_rules(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rules[i].tag, tag) == 0)
            return &rules[i];
    fail_msg("no rule %s", tag);
    return NULL;
}

static void build(const char *name)
{
    for (size_t i = 0; i < sizeof goods / sizeof goods[0]; i++)
        if (strcmp(goods[i].name, name) == 0) {
            goods[i].build(&talk_mem);
            return;
        }
    fail_msg("no conversation %s", name);
}

static bool is_it(const struct referee_finding *f, const struct referee_rule *rule)
{
    return f->party == rule->party && strcmp(f->requirement, rule->requirement) == 0 &&
           strcmp(f->rule, rule->sentence) == 0;
}

static unsigned failures;

static void broken_at(const struct broken *b, enum referee_vantage vantage)
{
    const struct referee_rule *rule = rule_of(b->rule);
    bool due = rule->vantages & (1u << vantage), found = false;
    struct referee_finding f;
    struct referee_counts counts;
    char line[700];
    build(b->good);
    break_by(&talk_mem, b->script);
    struct referee *r = talk_run(&talk_mem, vantage, 0);
    referee_count(r, &counts);
    while (referee_next(r, &f)) {
        if (is_it(&f, rule))
            found = true;
        else if (!b->more) {
            print_error("%s at %s: also %s\n", b->rule, vantage_names[vantage],
                        referee_finding_text(&f, line, sizeof line));
            failures++;
        } else if (getenv("LUNETTE_REFEREE_SHOW"))
            print_error("%s: with %s\n", b->rule, referee_finding_text(&f, line, sizeof line));
    }
    if (found != due) {
        print_error("%s at %s: %s\n", b->rule, vantage_names[vantage],
                    due ? "not found" : "found where it can't be decided");
        failures++;
    }
    if (!due && counts.undecidable == 0) {
        print_error("%s at %s: not counted as undecidable\n", b->rule, vantage_names[vantage]);
        failures++;
    }
    referee_free(r);
}

static void broken_rules(enum referee_vantage vantage)
{
    failures = 0;
    for (size_t i = 0; i < sizeof brokens / sizeof brokens[0]; i++)
        broken_at(&brokens[i], vantage);
    assert_int_equal(failures, 0);
}

static void each_rule_at_the_initiator(void **state)
{
    (void)state;
    broken_rules(REFEREE_AT_INITIATOR);
}

static void each_rule_at_the_target(void **state)
{
    (void)state;
    broken_rules(REFEREE_AT_TARGET);
}

static void each_rule_between(void **state)
{
    (void)state;
    broken_rules(REFEREE_BETWEEN);
}

static void every_rule_is_broken_by_something(void **state)
{
    size_t count;
    const struct referee_rule *rules = referee_rules(&count);
    unsigned missing = 0;
    (void)state;
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t j = 0; j < sizeof brokens / sizeof brokens[0]; j++)
            found = found || strcmp(brokens[j].rule, rules[i].tag) == 0;
        if (!found) {
            print_error("nothing breaks %s\n", rules[i].tag);
            missing++;
        }
    }
    assert_int_equal(missing, 0);
}

/* ---- rules that ask for more than a vantage ---- */

/* A write waits for data on one connection, and a reset is answered on `answered`. */
static bool found_early(enum referee_vantage vantage, unsigned answered)
{
    const struct referee_rule *rule = rule_of("ABORT_EARLY");
    struct referee_finding f;
    struct referee_counts counts;
    bool found = false;
    char line[700];
    begin(&talk_mem);
    login(&talk_mem, 0, GOOD_ANSWERS);
    login(&talk_mem, 1, NULL);
    command(&talk_mem, 0, 0x22, false, true, 1000);
    r2t(&talk_mem, 0, 0x22, 0x900, 0, 0, 1000);
    tmf(&talk_mem, answered, 0x41, 5, PDU_TAG_RESERVED);
    tmf_done(&talk_mem, answered, 0x41, 0);
    struct referee *r = talk_run(&talk_mem, vantage, 0);
    while (referee_next(r, &f)) {
        if (!is_it(&f, rule))
            fail_msg("also %s", referee_finding_text(&f, line, sizeof line));
        found = true;
    }
    referee_count(r, &counts);
    assert_int_equal(counts.undecidable, !found);
    referee_free(r);
    return found;
}

/* The other connection may have failed, and the write with it, before its initiator or anybody between has
 * heard of that. */
static void data_on_another_connection_is_due_at_the_target(void **state)
{
    (void)state;
    for (enum referee_vantage vantage = REFEREE_AT_INITIATOR; vantage <= REFEREE_BETWEEN; vantage++) {
        assert_true(found_early(vantage, 0));
        assert_int_equal(found_early(vantage, 1), vantage == REFEREE_AT_TARGET);
    }
}

/* ---- the page ---- */

static void rule_line(const struct referee_rule *rule, char *buf, size_t len)
{
    const char *where = rule->vantages == SEEN_ALL ? "all"
                        : rule->vantages == SEEN_I ? "at the initiator"
                                                   : "at the target";
    const char *needs = rule->needs == NEEDS_PDU    ? "PDU"
                        : rule->needs == NEEDS_CONN ? "connection"
                                                    : "session";
    snprintf(buf, len, "| %s | %s | %s | %s | %s |\n", rule->requirement,
             rule->party == REFEREE_INITIATOR ? "initiator" : "target", where, needs, rule->sentence);
}

#define UNSEEN_HEADING "## Without a rule"

static bool has_rule(const char *requirement)
{
    size_t count;
    const struct referee_rule *rules = referee_rules(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rules[i].requirement, requirement) == 0)
            return true;
    return false;
}

/* One of the page's words for why not, or another requirement whose rule sees it. */
static bool is_reason(const char *page, const char *reason)
{
    char bullet[80];
    if (strncmp(reason, "as ", 3) == 0)
        return has_rule(reason + 3);
    snprintf(bullet, sizeof bullet, "\n* *%s*: ", reason);
    return strstr(page, bullet) != NULL;
}

/* Every row of the wire that can be broken has a rule or a reason, and none has both. */
static void page_explains_what_has_no_rule(void **state)
{
    static char page[200000], line[2000];
    unsigned wire = 0, reasons = 0, problems = 0;
    (void)state;
    FILE *f = fopen("docs/referee.md", "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = 0;
    fclose(f);
    const char *list = strstr(page, UNSEEN_HEADING);
    assert_non_null(list);
    f = fopen("conformance/requirements.tsv", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        char id[40], section[40], level[10], role[12], observable[12], start[48], reason[60] = "";
        if (sscanf(line, "%39s %39s %9s %11s %11s", id, section, level, role, observable) != 5 ||
            strcmp(observable, "wire") != 0 || strcmp(level, "MAY") == 0)
            continue;
        wire++;
        snprintf(start, sizeof start, "\n| %s | ", id);
        const char *row = strstr(list, start);
        if (row) {
            reasons++;
            (void)sscanf(row + strlen(start), "%59[^|]", reason);
            reason[strlen(reason) ? strlen(reason) - 1 : 0] = 0;
        }
        if ((row != NULL) == has_rule(id) || (row && !is_reason(list, reason))) {
            print_error("%s: %s\n", id,
                        row ? "has a rule as well, or no such reason" : "neither rule nor reason");
            problems++;
        }
    }
    fclose(f);
    unsigned rows = 0;
    for (const char *at = list; (at = strstr(at, "\n| R714")) != NULL; at++)
        rows++;
    assert_int_equal(problems, 0);
    assert_int_equal(rows, reasons); /* a row of something that is not on the wire, or no requirement */
    assert_true(wire > 500);
}

static void page_lists_every_rule(void **state)
{
    static char page[200000];
    char line[400];
    size_t count;
    const struct referee_rule *rules = referee_rules(&count);
    const char *path = getenv("LUNETTE_REFEREE_DOC");
    (void)state;
    if (path) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        for (size_t i = 0; i < count; i++) {
            rule_line(&rules[i], line, sizeof line);
            fputs(line, f);
        }
        fclose(f);
    }
    FILE *f = fopen("docs/referee.md", "r");
    assert_non_null(f);
    page[fread(page, 1, sizeof page - 1, f)] = 0;
    fclose(f);
    size_t rows = 0;
    const char *end = strstr(page, UNSEEN_HEADING);
    assert_non_null(end);
    for (const char *at = page; (at = strstr(at, "\n| R714")) != NULL && at < end; at++)
        rows++;
    assert_int_equal(rows, count);
    for (size_t i = 0; i < count; i++) {
        rule_line(&rules[i], line, sizeof line);
        if (!strstr(page, line))
            fail_msg("docs/referee.md lacks: %s", line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_at_the_initiator),
        cmocka_unit_test(each_rule_at_the_target),
        cmocka_unit_test(each_rule_between),
        cmocka_unit_test(every_rule_is_broken_by_something),
        cmocka_unit_test(data_on_another_connection_is_due_at_the_target),
        cmocka_unit_test(page_lists_every_rule),
        cmocka_unit_test(page_explains_what_has_no_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
