/* SPDX-License-Identifier: Apache-2.0 */
/* Published examples of each kind of number, and what is next to them. */
#include "privacy/validate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *what;
    bool (*is)(strv);
    const char *yes[7], *no[7];
} rows[] = {
    {"luhn", valid_luhn, {"79927398713", "18"}, {"79927398710", "1", "", "7992x"}},
    {"ssn: voided numbers have its form",
     valid_ssn,
     {"078051120", "219099999", "900700000", "999881234", "001010001"},
     {"000121234", "666121234", "123001234", "123450000", "900930000", "900490000", "12345678"}},
    {"npi: CMS's example",
     valid_npi,
     {"1234567893", "1245319599"},
     {"1234567890", "3234567893", "123456789"}},
    {"dea",
     valid_dea,
     {"AB1234563", "F91234563", "bf2003868"},
     {"AB1234564", "IB1234563", "A11234563", "AB123456"}},
    {"card: the networks' test numbers",
     valid_card,
     {"4111111111111111", "5555555555554444", "378282246310005", "6011111111111117",
      "3530111333300000", "30569309025904", "2223003122003222"},
     {"4111111111111112", "0000000000000000", "9111111111111111", "411111111111"}},
    {"aba",
     valid_aba,
     {"021000021", "111000025", "011401533"},
     {"021000022", "000000000", "991000020"}},
    {"iban: of the registry",
     valid_iban,
     {"GB82WEST12345698765432", "DE89370400440532013000", "ES9121000418450200051332",
      "NO9386011117947"},
     {"GB82WEST12345698765433", "8282WEST12345698765432", "DE8937040044"}},
    {"vin",
     valid_vin,
     {"1M8GDM9AXKP042788", "1HGCM82633A004352"},
     {"1M8GDM9A1KP042788", "1M8GDM9AXKP04278O", "1M8GDM9AXKP04278"}},
    {"mbi: CMS's examples",
     valid_mbi,
     {"1EG4TE5MK73", "1eg4te5mk72"},
     {"0EG4TE5MK73", "1SG4TE5MK73", "1EG4TE5MK7"}},
    {"nanp",
     valid_nanp,
     {"8085550143", "2125550100"},
     {"1085550143", "8081550143", "9115550143", "808555014"}},
    {"service", valid_nanp_service, {"8002221222"}, {"8085550143"}},
    {"curp: of the instruction",
     valid_curp,
     {"HEGG560427MVZRRL04", "hegg560427mvzrrl04"},
     {"HEGG560427MVZRRL05", "HEGG561427MVZRRL04", "HEGG560427MVZRRL0"}},
    {"dni",
     valid_dni,
     {"12345678Z", "X1234567L", "00000000T"},
     {"12345678A", "W1234567L", "1234567Z"}},
    {"nino",
     valid_nino,
     {"AB123456C", "JG103759A"},
     {"QQ123456C", "GB123456A", "AB123456E", "AO123456C"}},
    {"cpf", valid_cpf, {"52998224725", "11144477735"}, {"52998224724", "11111111111"}},
    {"imei", valid_imei, {"490154203237518"}, {"490154203237517"}},
    {"verhoeff", valid_verhoeff, {"2363", "234123412346"}, {"2364", "234123412347"}},
    {"zip3", valid_zip3_small, {"03601", "893"}, {"45701", "03", "abc"}},
    {"state", valid_state, {"OH", "HI"}, {"XX", "oh", "OHI", ""}},
    {"ip4",
     valid_ip4_public,
     {"24.210.77.8", "100.128.0.1", "172.32.0.1"},
     {"10.1.2.3", "127.0.0.1", "169.254.169.254", "192.0.2.7", "8.8.8.8", "256.1.1.1",
      "224.0.0.1"}},
    {"ip6",
     valid_ip6_public,
     {"2604:2d80:aa01:9c::7", "2a00:1450:4001::"},
     {"::1", "fe80::1", "fd00::1", "2001:db8::1", "a::b", "24.210.77.8", "12:30"}},
    {"mac",
     valid_mac,
     {"3c:22:fb:12:9a:01", "3C-22-FB-12-9A-01"},
     {"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "3c:22:fb:12:9a", "3c:22-fb:12:9a:01",
      "3g:22:fb:12:9a:01"}},
};

static void test_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < 7 && rows[i].yes[k] != NULL; k++)
            if (!rows[i].is(strv_of(rows[i].yes[k])))
                fail_msg("%s: %s should be one", rows[i].what, rows[i].yes[k]);
        for (size_t k = 0; k < 7 && rows[i].no[k] != NULL; k++)
            if (rows[i].is(strv_of(rows[i].no[k])))
                fail_msg("%s: %s is none", rows[i].what, rows[i].no[k]);
    }
}

static void test_dates(void **state)
{
    (void)state;
    assert_int_equal(valid_month(STRV("jan")), 1);
    assert_int_equal(valid_month(STRV("diciembre")), 12);
    assert_int_equal(valid_month(STRV("septeber")), 9);
    assert_int_equal(valid_month(STRV("dicimebre")), 12);
    assert_int_equal(valid_month(STRV("ma")), 0);
    assert_int_equal(valid_month(STRV("match")), 0);
    assert_int_equal(valid_month(STRV("remember")), 0);
    assert_true(valid_date(1988, 2, 29) && valid_date(0, 12, 31) && valid_date(77, 7, 7));
    assert_false(valid_date(1988, 2, 30) || valid_date(1988, 13, 1) || valid_date(1888, 1, 1) ||
                 valid_date(2025, 0, 1) || valid_date(2025, 1, 0));
}

static void test_slips(void **state)
{
    (void)state;
    assert_true(is_one_slip(STRV("abc"), STRV("abc")) && is_one_slip(STRV("abc"), STRV("ac")) &&
                is_one_slip(STRV("abc"), STRV("abbc")) && is_one_slip(STRV("abc"), STRV("axc")) &&
                is_one_slip(STRV("abc"), STRV("bac")));
    assert_false(is_one_slip(STRV("abc"), STRV("cba")) || is_one_slip(STRV("abc"), STRV("a")) ||
                 is_one_slip(STRV("abcd"), STRV("xbcy")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers), cmocka_unit_test(test_slips),
                                       cmocka_unit_test(test_dates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
