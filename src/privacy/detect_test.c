/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole detector: what is found in texts and in requests, that nothing is found in harmless ones, and what
 * happens when something is missing. Numbers and addresses here belong to nobody.
 */
#include "privacy/detect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct privacy *detector;
static struct privacy_scratch *scratch;

static struct privacy_conf conf_of_build(void)
{
    return (struct privacy_conf){.data = getenv("ROUTER_DATA")};
}

static int setup(void **state)
{
    (void)state;
    struct privacy_conf conf = conf_of_build();
    struct err err = ERR_INIT;
    detector = privacy_new(&conf, &err);
    scratch = privacy_scratch_new();
    if (detector == NULL || !privacy_ready(detector) || scratch == NULL)
        fprintf(stderr, "not ready: %s\n", err.text);
    return privacy_ready(detector) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    privacy_scratch_free(scratch);
    privacy_unref(detector);
    assert_int_equal(mem_live(), 0);
    return 0;
}

static const struct privacy_verdict *text(const char *what)
{
    static struct privacy_verdict v;
    privacy_verdict_init(&v);
    privacy_scan_text(detector, scratch, strv_of(what), PRIVACY_NORMAL, &v);
    return &v;
}

static const struct privacy_verdict *json(const char *what)
{
    static struct privacy_verdict v;
    privacy_verdict_init(&v);
    privacy_scan_json(detector, scratch, strv_of(what), PRIVACY_NORMAL, &v);
    return &v;
}

static void has(const char *what, enum privacy_kind kind, const char *span)
{
    const struct privacy_verdict *v = text(what);
    for (size_t i = 0; i < v->n_findings; i++) {
        const struct privacy_finding *f = &v->findings[i];
        assert_true(f->start < f->end && f->end <= strlen(what));
        if (f->kind == kind && strncmp(what + f->start, span, strlen(span)) == 0 &&
            f->end - f->start == strlen(span) && f->weight >= 1000)
            return;
    }
    char words[256];
    privacy_verdict_words(v, words, sizeof words);
    fail_msg("<%s>: no %s <%s>, but %s", what, privacy_kinds[kind].name, span, words);
}

static void nothing(const char *what, const struct privacy_verdict *v)
{
    char words[256];
    privacy_verdict_words(v, words, sizeof words);
    if (v->is_private)
        fail_msg("<%s> is private: %s, %s", what, words,
                 v->n_findings > 0 ? privacy_rule_name(v->findings[0].rule) : "");
}

static const struct {
    const char *text;
    enum privacy_kind kind;
    const char *span;
} finds[] = {
    {"078-05-1120 belongs to whom?", PRIVACY_SSN, "078-05-1120"},
    {"social security 219 09 9999 on the form", PRIVACY_SSN, "219 09 9999"},
    {"219099999 is on the export", PRIVACY_SSN, "219099999"},
    {"last four of ssn 9999", PRIVACY_SSN, "9999"},
    {"his social ends in 9071", PRIVACY_SSN, "9071"},
    {"call 808-555-0143 about it", PRIVACY_PHONE, "808-555-0143"},
    {"the phone (808) 555 0143 is dead", PRIVACY_PHONE, "(808) 555 0143"},
    {"+1.808.555.0143", PRIVACY_PHONE, "+1.808.555.0143"},
    {"8085550143", PRIVACY_PHONE, "8085550143"},
    {"+44 20 7946 0958 rings", PRIVACY_PHONE, "+44 20 7946 0958"},
    {"8 0 8 5 5 5 0 1 4 3", PRIVACY_PHONE, "8 0 8 5 5 5 0 1 4 3"},
    {"phone 555-0143", PRIVACY_PHONE, "555-0143"},
    {"fax 808-555-0155", PRIVACY_FAX, "808-555-0155"},
    {"write to pgy2.alpha@hospital.example now", PRIVACY_EMAIL, "pgy2.alpha@hospital.example"},
    {"x_o [at] lakemail [dot] net", PRIVACY_EMAIL, "x_o [at] lakemail [dot] net"},
    {"MRN:\n00481516 needs it", PRIVACY_MRN, "00481516"},
    {"\xEF\xBC\xAD\xEF\xBC\xB2\xEF\xBC\xAE 00481516", PRIVACY_MRN, "00481516"},
    {"patient_mrn=00481516", PRIVACY_MRN, "00481516"},
    {"00481516 is the mrn", PRIVACY_MRN, "00481516"},
    {"accession number A-22-1190", PRIVACY_MRN, "A-22-1190"},
    {"expediente 00481516", PRIVACY_MRN, "00481516"},
    {"member id W2217 74419", PRIVACY_HEALTH_PLAN_ID, "W2217 74419"},
    {"1EG4-TE5-MK73", PRIVACY_HEALTH_PLAN_ID, "1EG4-TE5-MK73"},
    {"card 4111 1111 1111 1111 was used", PRIVACY_ACCOUNT, "4111 1111 1111 1111"},
    {"4111111111111111", PRIVACY_ACCOUNT, "4111111111111111"},
    {"DE89 3704 0044 0532 0130 00", PRIVACY_ACCOUNT, "DE89 3704 0044 0532 0130 00"},
    {"acct 88120-4471-9", PRIVACY_ACCOUNT, "88120-4471-9"},
    {"routing number 021000021", PRIVACY_ACCOUNT, "021000021"},
    {"1234567893", PRIVACY_NPI, "1234567893"},
    {"AB1234563 is suspended", PRIVACY_DEA, "AB1234563"},
    {"state license 35.128844", PRIVACY_LICENSE, "35.128844"},
    {"1M8GDM9AXKP042788", PRIVACY_VEHICLE, "1M8GDM9AXKP042788"},
    {"3c:22:fb:12:9a:01 is offline", PRIVACY_DEVICE, "3c:22:fb:12:9a:01"},
    {"serial no. 2207K91J", PRIVACY_DEVICE, "2207K91J"},
    {"retina scan IR-2291-L", PRIVACY_BIOMETRIC, "IR-2291-L"},
    {"reitna scan IR-2291-L", PRIVACY_BIOMETRIC, "IR-2291-L"},
    {"my pasport no C03318827 is lost", PRIVACY_LICENSE, "C03318827"},
    {"member\nand subcsriber\nW2217 74419", PRIVACY_HEALTH_PLAN_ID, "W2217 74419"},
    {"serrial 2207K91J", PRIVACY_DEVICE, "2207K91J"},
    {"see IMG_2231 of the wound", PRIVACY_PHOTO, "IMG_2231"},
    {"PXL_20250311_104455", PRIVACY_PHOTO, "PXL_20250311_104455"},
    {"ask Dr. K. Ramirez today", PRIVACY_NAME, "Dr. K. Ramirez"},
    {"DoD ID 1234567890", PRIVACY_OTHER_ID, "1234567890"},
    {"HEGG560427MVZRRL04", PRIVACY_OTHER_ID, "HEGG560427MVZRRL04"},
    {"from 24.210.77.8 again", PRIVACY_IP, "24.210.77.8"},
    {"2604:2d80:aa01:9c::7 logs in", PRIVACY_IP, "2604:2d80:aa01:9c::7"},
    {"DOB 03/14/1988, block 3", PRIVACY_DATE, "03/14/1988"},
    {"dob: 19880314", PRIVACY_DATE, "19880314"},
    {"born 14MAR1988", PRIVACY_DATE, "14MAR1988"},
    {"naci\xC3\xB3 el 9 de enero de 1971", PRIVACY_DATE, "9 de enero de 1971"},
    {"admitted March 3rd, 2024", PRIVACY_DATE, "March 3rd, 2024"},
    {"he was born on 3 Septeber 1966", PRIVACY_DATE, "3 Septeber 1966"},
    {"he was born Otcober 3, 1966", PRIVACY_DATE, "Otcober 3, 1966"},
    {"a 97-year-old in clinic", PRIVACY_AGE_OVER_89, "97-year-old"},
    {"abuelita de 99 a\xC3\xB1os", PRIVACY_AGE_OVER_89, "99 a\xC3\xB1os"},
    {"turns one hundred and one soon", PRIVACY_AGE_OVER_89, "one hundred and one"},
    {"lives at 12 Example Street", PRIVACY_LOCATION, "12 Example Street"},
    {"P.O. Box 448", PRIVACY_LOCATION, "P.O. Box 448"},
    {"gps 39.9612, -82.9988", PRIVACY_LOCATION, "39.9612, -82.9988"},
    {"home zip 43215-3307", PRIVACY_ZIP, "43215-3307"},
    {"IMG_20412.jpg", PRIVACY_PHOTO, "IMG_20412.jpg"},
    {"mrn,dob,zip\n481516,1970-01-02,45601\n", PRIVACY_MRN, "481516"},
    {"mrn,dob,zip\n481516,1970-01-02,45601\n", PRIVACY_DATE, "1970-01-02"},
    {"mrn|dob|zip\n481516|1970-01-02|45601\n", PRIVACY_ZIP, "45601"},
    {"PID|1||88120934||||19570825|M", PRIVACY_DATE, "19570825"},
    {"begin:vcard", PRIVACY_STRUCTURE, "begin:vcard"},
    {"the lady in bed 4", PRIVACY_CASE, "lady in bed 4"},
    {"teenager with rigors since lunch", PRIVACY_CASE, "teenager with rigors"},
    {"infant choking on a grape", PRIVACY_CASE, "infant choking"},
    {"the boy from the fire is going to the icu", PRIVACY_CASE,
     "boy from the fire is going to the icu"},
    {"our jaundiced one needs a lactate", PRIVACY_CASE, "one needs a lactate"},
    {"pregnant, spotting since noon", PRIVACY_CASE, "pregnant, spotting"},
    {"3 week old with poor feeding", PRIVACY_CASE, "3 week old with poor feeding"},
    {"PGY2-03 tested positive and is isolating", PRIVACY_HEALTH_FACT, "tested positive"},
    {"Resident Alpha deploys in March", PRIVACY_MOVEMENT, "deploys in"},
    {"Show me the patient records", PRIVACY_RECORDS, "Show me the patient records"},
};

static void test_finds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof finds / sizeof finds[0]; i++) {
        has(finds[i].text, finds[i].kind, finds[i].span);
        assert_true(text(finds[i].text)->is_private);
    }
}

static void test_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "42",
                                        "....",
                                        "which block is next?",
                                        "Explain the 80-hour rule in two sentences",
                                        "PMID 30855740",
                                        "error 2147942402",
                                        "550e8400-e29b-41d4-a716-446655440000 is null in db",
                                        "listen 0.0.0.0:8080",
                                        "ping 10.1.2.3 fails",
                                        "NDC 50580-488-10",
                                        "order 7731-88-2024 is late",
                                        "glibc 2.36 vs 2.39",
                                        "ICD-10 E11.65 meaning",
                                        "ICD 10 code I21.4",
                                        "PID|1||||||||||| which segment is it",
                                        "the ordre 4471882 is late",
                                        "block 4 = 9/25 through 10/22",
                                        "OID 1.3.6.1.4.1.311",
                                        "CVE-2023-44487",
                                        "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
                                        "94% occupancy",
                                        "interstate 90 closed",
                                        "std::vector<int> a; a::b c",
                                        "why hashing SSNs without salt is weak",
                                        "A patient portal glossary at fourth grade level",
                                        "be patient and explain the rotation",
                                        "How many inpatient weeks does a PGY-2 have?",
                                        "Does HIPAA apply to a printed call roster?",
                                        "Which quantisation does the phi3 model use?",
                                        "PGY1-02 to nights, PGY1-05 to wards",
                                        "name,pgy,block\n",
                                        "a 20 minute drive",
                                        "2 mg q4h prn max 12",
                                        NULL};
    for (size_t i = 0; texts[i] != NULL; i++)
        nothing(texts[i], text(texts[i]));
}

static void test_json(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum privacy_kind kind;
    } rows[] = {
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"MRN 00481516\"}]}", PRIVACY_MRN},
        {"{\"x\":{\"mrn\":481516}}", PRIVACY_MRN},
        {"{\"patientMrn\":\"481516\"}", PRIVACY_MRN},
        {"{\"dob\":\"1988-03-14\"}", PRIVACY_DATE},
        {"[\"MRN\",\"00481516\"]", PRIVACY_MRN},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"his MRN "
         "is\"},"
         "{\"type\":\"text\",\"text\":\"00481516\"}]}]}",
         PRIVACY_MRN},
        {"{\"arguments\":\"{\\\"mrn\\\": 481516}\"}", PRIVACY_MRN},
        {"{\"a\":\"{\\\"b\\\":\\\"{\\\\\\\"mrn\\\\\\\":\\\\\\\"481516\\\\\\\"}\\\"}\"}",
         PRIVACY_MRN},
        {"{\"tools\":[{\"name\":\"lookup\",\"description\":\"Look up MRN 00481516\"}]}",
         PRIVACY_MRN},
        {"{\"metadata\":{\"note\":\"#66120-77\"}}", PRIVACY_MRN},
        {"{\"808-555-0143\":1}", PRIVACY_PHONE},
        {"{\"model\":\"808-555-0143\"}", PRIVACY_PHONE},
        {"{\"messages\":[{\"role\":\"8085550143\"}]}", PRIVACY_PHONE},
        {"{\"id\":\"808-555-0143\"}", PRIVACY_PHONE},
        {"{\"service_tier\":\"219-09-9999\"}", PRIVACY_SSN},
        {"{\"verbosity\":\"808-555-0143\"}", PRIVACY_PHONE},
        {"{\"tool_call_id\":\"call_219-09-9999\"}", PRIVACY_SSN},
        {"{\"item_id\":\"808-555-0143-is-the-home-phone-number\"}", PRIVACY_PHONE},
        {"{\"tools\":[{\"function\":{\"name\":\"page_808-555-0143\"}}]}", PRIVACY_PHONE},
        {"{\"tools\":[{\"function\":{\"name\":\"page_dr_rodriguez\"}}]}", PRIVACY_NAME},
        {"{\"tools\":[{\"name\":\"getMariaRodriguezChart\"}]}", PRIVACY_NAME},
        {"{\"tool_call_id\":\"functions.page_dr_rodriguez:0\"}", PRIVACY_NAME},
        {"{\"metadata\":{\"user_id\":\"x@lakemail.net\"}}", PRIVACY_EMAIL},
        {"{\"t\":\"pa\\u0074ient's chart \\u0037\"}", PRIVACY_RECORDS},
        {"{\"url\":\"data:image/png;base64,"
         "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+"
         "M9QDwADhgGAWjR9awAAAABJRU5E\"}",
         PRIVACY_UNREADABLE},
        {"{\"t\":\"\\ud800\"}", PRIVACY_UNREADABLE},
        {"{\"t\":\"\xFF\"}", PRIVACY_UNREADABLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct privacy_verdict *v = json(rows[i].text);
        char words[256];
        privacy_verdict_words(v, words, sizeof words);
        if (!v->is_private || v->counts[rows[i].kind] == 0)
            fail_msg("<%s>: no %s, but %s", rows[i].text, privacy_kinds[rows[i].kind].name, words);
        for (size_t k = 0; k < v->n_findings; k++)
            assert_true(v->findings[k].start <= v->findings[k].end &&
                        v->findings[k].end <= strlen(rows[i].text));
    }
}

static void test_scaffold(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "{\"model\":\"claude-sonnet-4-20250514\",\"max_tokens\":123456789,\"seed\":219099999,"
        "\"messages\":[{\"role\":\"user\",\"content\":\"which block is next?\"}]}",
        "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_patient_records\","
        "\"description\":"
        "\"Returns "
        "rows.\",\"parameters\":{\"type\":\"object\",\"properties\":{\"patient_name\":{\"type\":"
        "\"string\",\"maxLength\":9999},\"ssn\":{\"type\":\"string\"},\"mrn\":{\"type\":"
        "\"integer\",\"minimum\":10000}},"
        "\"required\":[\"patient_name\"]}}}]}",
        "{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"call_8085550143ab\","
        "\"type\":\"function\","
        "\"function\":{\"name\":\"list_blocks\",\"arguments\":\"{\\\"block\\\":4}\"}}]},{\"role\":"
        "\"tool\","
        "\"tool_call_id\":\"call_8085550143ab\",\"content\":\"{\\\"weeks\\\":12}\"}]}",
        "{\"tools\":[{\"name\":\"get_weather\",\"input_schema\":{}},{\"name\":\"TodoWrite\"},{"
        "\"name\":\"KillShell\"},"
        "{\"name\":\"list_open_swaps\"},{\"name\":\"mcp__files__read_text\"},"
        "{\"name\":\"create_issue\"},{\"name\":\"str_replace_editor\"}]}",
        "{\"content\":[{\"type\":\"text\",\"text\":\"hello\",\"cache_control\":{\"type\":"
        "\"ephemeral\"}}]}",
        "{}",
        "[]",
        "\"\"",
        "1",
        "null",
        "",
        "{\"a\":{}}"};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++)
        nothing(requests[i], json(requests[i]));
}

/* However long the text, what stands in it is found, and where it stands. */
static void test_long(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    char *long_text = mem_alloc(SIZE + 64);
    assert_non_null(long_text);
    for (size_t place = 100; place < SIZE; place += 8111) {
        for (size_t i = 0; i < SIZE; i++)
            long_text[i] = "the block is long "[i % 18];
        memcpy(long_text + place / 18 * 18, "808-555-0143 is ok", 18);
        struct privacy_verdict v;
        privacy_verdict_init(&v);
        privacy_scan_text(detector, scratch, (strv){long_text, SIZE}, PRIVACY_NORMAL, &v);
        assert_int_equal(v.counts[PRIVACY_PHONE], 1);
        assert_int_equal(v.findings[0].start, place / 18 * 18);
        if (place % 2 == 0) {
            char *json_text = mem_alloc(SIZE + 64);
            assert_non_null(json_text);
            int n = snprintf(json_text, SIZE + 64, "{\"t\":\"%.*s\"}", SIZE, long_text);
            privacy_verdict_init(&v);
            privacy_scan_json(detector, scratch, (strv){json_text, (size_t)n}, PRIVACY_NORMAL, &v);
            assert_int_equal(v.counts[PRIVACY_PHONE], 1);
            assert_int_equal(v.findings[0].start, place / 18 * 18 + 6);
            mem_free(json_text);
        }
    }
    mem_free(long_text);
}

static const struct privacy_verdict *body(const char *what, strv model)
{
    static struct privacy_verdict v;
    privacy_verdict_init(&v);
    privacy_scan_body(detector, scratch, strv_of(what), model, PRIVACY_NORMAL, &v);
    return &v;
}

/* What is sent as a model's name is what was told, or it is read, or nothing is sent. */
static void test_model_of_a_body(void **state)
{
    (void)state;
    assert_false(json("{\"model\":\"ssn-219-09-9999\"}")->is_private); /* asked for, never sent */
    assert_true(body("{\"model\":\"ssn-219-09-9999\"}", STRV_NONE)->is_private);
    assert_false(body("{\"model\":\"ssn-219-09-9999\"}", STRV("ssn-219-09-9999"))->is_private);
    assert_false(body("{\"model\":\"a\\/b\"}", STRV("a/b"))->is_private);
    assert_false(body("{\"model\":\"demo\"}", STRV_NONE)->is_private);
    const struct privacy_verdict *v = body("{\"model\":\"demo\"}", STRV("demo2"));
    assert_true(v->is_private && v->counts[PRIVACY_UNREADABLE] == 1);
    v = body("{\"model\":\"demo\",\"model\":\"smith\"}", STRV("demo"));
    assert_true(v->is_private && v->counts[PRIVACY_UNREADABLE] == 1);
    assert_false(body("{\"a\":{\"model\":\"demo\"}}", STRV("demo2"))->is_private);
}

static void test_limits(void **state)
{
    (void)state;
    struct privacy_conf conf = conf_of_build();
    struct err err = ERR_INIT;
    struct privacy_verdict v;
    conf.bytes_max = 10;
    struct privacy *p = privacy_new(&conf, &err);
    privacy_verdict_init(&v);
    privacy_scan_json(p, scratch, STRV("\"long enough\""), PRIVACY_NORMAL, &v);
    assert_true(v.is_private && v.counts[PRIVACY_LIMIT] == 1);
    privacy_unref(p);
    char deep[400];
    memset(deep, '[', sizeof deep);
    privacy_verdict_init(&v);
    privacy_scan_json(detector, scratch, (strv){deep, sizeof deep}, PRIVACY_NORMAL, &v);
    assert_true(v.is_private && v.counts[PRIVACY_UNREADABLE] == 1);
}

static void test_not_ready(void **state)
{
    (void)state;
    struct privacy_conf conf = {.data = "/nonexistent/file"};
    struct privacy_verdict v;
    const char *bad_pattern[] = {"room=[a-", NULL}, *no_name[] = {"abc", NULL};
    const char *bad_digest[] = {"abcd", NULL};
    for (int k = 0; k < 5; k++) {
        struct err err = ERR_INIT;
        if (k > 0)
            conf = conf_of_build();
        conf.patterns = k == 1 ? bad_pattern : k == 2 ? no_name : NULL;
        conf.fixed = k == 3 ? bad_digest : NULL;
        conf.data = k == 4 ? NULL : conf.data;
        struct privacy *p = privacy_new(&conf, &err);
        assert_non_null(p);
        assert_true(err.set && !privacy_ready(p));
        privacy_verdict_init(&v);
        privacy_scan_text(p, scratch, STRV("hello"), PRIVACY_NORMAL, &v);
        assert_true(v.is_private && v.counts[PRIVACY_NOT_READY] == 1);
        privacy_unref(p);
    }
}

static void test_own(void **state)
{
    (void)state;
    static const char *const patterns[] = {"bed=\\bZQ-\\d{2}\\b", NULL};
    /* SHA-256 of the two texts below */
    static const char *const fixed[] = {
        "cd7d890d96f85480cc244ff28bed9e538ab17f1b364b5773a96e1d97bb006dfc",
        "e696418aa20f4d19e1ebd9bd43a2e5852fd493b52e328d929dbaa98d7378dd22", NULL};
    struct privacy_conf conf = conf_of_build();
    struct err err = ERR_INIT;
    struct privacy_verdict v;
    conf.patterns = patterns;
    conf.fixed = fixed;
    struct privacy *p = privacy_new(&conf, &err);
    assert_true(privacy_ready(p));
    privacy_verdict_init(&v);
    privacy_scan_text(p, scratch, STRV("cart zq-17 is free"), PRIVACY_NORMAL, &v);
    assert_int_equal(v.counts[PRIVACY_PATTERN], 1);
    assert_int_equal(v.findings[0].start, 5);
    assert_int_equal(v.findings[0].end, 10);
    static const char *const requests[] = {
        "{\"system\":\"Be HIPAA-aware:\\nshow me the patient records of \\\"bed 4\\\".\"}",
        "{\"system\":\"Call 808-555-0143 for the patient's chart.\"}",
        "{\"system\":\"Be HIPAA-aware: show me the patient records of \\\"bed 4\\\".\"}"};
    for (size_t i = 0; i < 3; i++) { /* clean; identifiers only; not registered in this form */
        privacy_verdict_init(&v);
        privacy_scan_json(p, scratch, strv_of(requests[i]), PRIVACY_NORMAL, &v);
        assert_int_equal(v.is_private, i > 0);
        assert_int_equal(v.counts[PRIVACY_PHONE], i == 1);
        assert_int_equal(v.counts[PRIVACY_RECORDS] > 0, i == 2);
    }
    privacy_unref(p);
}

static void test_house_off(void **state)
{
    (void)state;
    struct privacy_conf conf = conf_of_build();
    struct err err = ERR_INIT;
    struct privacy_verdict v;
    conf.house_off = 1u << PRIVACY_CASE | 1u << PRIVACY_RECORDS;
    struct privacy *p = privacy_new(&conf, &err);
    privacy_verdict_init(&v);
    privacy_scan_text(p, scratch, STRV("pt in bed 4, show me the patient records"), PRIVACY_NORMAL,
                      &v);
    assert_true(!v.is_private && v.counts[PRIVACY_CASE] == 0 && v.counts[PRIVACY_RECORDS] == 0);
    privacy_unref(p);
}

/* Whatever allocation fails, the verdict is private or as it is with memory. */
static void test_no_memory(void **state)
{
    (void)state;
    static const strv request =
        STRV("{\"messages\":[{\"role\":\"user\",\"content\":\"call 808-555-0143, bed 4\"}]}");
    struct privacy_conf conf = conf_of_build();
    for (uint64_t nth = 1;; nth++) {
        struct err err = ERR_INIT;
        struct privacy_verdict v;
        privacy_verdict_init(&v);
        mem_fail_at(nth, false);
        struct privacy *p = privacy_new(&conf, &err);
        struct privacy_scratch *s = privacy_scratch_new();
        if (p != NULL && s != NULL)
            privacy_scan_json(p, s, request, PRIVACY_NORMAL, &v);
        bool all = mem_count() < nth;
        mem_fail_at(0, false);
        if (p != NULL && s != NULL)
            assert_true(v.is_private);
        if (p != NULL && s != NULL && privacy_ready(p)) { /* and it works again */
            privacy_verdict_init(&v);
            privacy_scan_json(p, s, request, PRIVACY_NORMAL, &v);
            assert_int_equal(v.counts[PRIVACY_PHONE], 1);
        }
        privacy_scratch_free(s);
        privacy_unref(p);
        if (all)
            break;
        assert_true(nth < 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_scaffold),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_model_of_a_body),
        cmocka_unit_test(test_not_ready),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_house_off),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
