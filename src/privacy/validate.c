/* SPDX-License-Identifier: Apache-2.0 */
/* validate - see the header; each rule's source stands at it. */
#include "privacy/validate.h"

#include <arpa/inet.h>
#include <string.h>

static bool all_digits(strv t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.ptr[i] < '0' || t.ptr[i] > '9')
            return false;
    return t.len > 0;
}

static int digit(strv t, size_t i)
{
    return t.ptr[i] - '0';
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

static bool is_letter(char c)
{
    return upper(c) >= 'A' && upper(c) <= 'Z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int number(strv t, size_t at, size_t n)
{
    int v = 0;
    for (size_t i = at; i < at + n; i++)
        v = v * 10 + digit(t, i);
    return v;
}

static bool same_digits(strv t)
{
    for (size_t i = 1; i < t.len; i++)
        if (t.ptr[i] != t.ptr[0])
            return false;
    return true;
}

/* ISO/IEC 7812-1, annex B. */
static int luhn_sum(strv t)
{
    int sum = 0;
    for (size_t i = 0; i < t.len; i++) {
        int d = digit(t, t.len - 1 - i);
        sum += i % 2 == 0 ? d : d * 2 - (d > 4 ? 9 : 0);
    }
    return sum;
}

bool valid_luhn(strv digits)
{
    return digits.len > 1 && all_digits(digits) && luhn_sum(digits) % 10 == 0;
}

/* Social Security Administration, "randomization" (2011); IRS, ITIN ranges. */
bool valid_ssn(strv t)
{
    if (t.len != 9 || !all_digits(t))
        return false;
    int area = number(t, 0, 3), group = number(t, 3, 2), serial = number(t, 5, 4);
    if (area >= 900)
        return (group >= 50 && group <= 65) || (group >= 70 && group <= 88) ||
               (group >= 90 && group <= 92) || group >= 94;
    return area != 0 && area != 666 && group != 0 && serial != 0;
}

/* 45 CFR 162.406; the check digit is of ISO 7812 with the prefix 80840, whose digits add 24. */
bool valid_npi(strv t)
{
    return t.len == 10 && all_digits(t) && (t.ptr[0] == '1' || t.ptr[0] == '2') &&
           (luhn_sum(t) + 24) % 10 == 0;
}

/* 21 CFR 1301; first letter the registrant's type, second of the name or 9. */
bool valid_dea(strv t)
{
    if (t.len != 9 || strchr("ABCDEFGHJKLMPRSTUX", upper(t.ptr[0])) == NULL || t.ptr[0] == '\0' ||
        (!is_letter(t.ptr[1]) && t.ptr[1] != '9') || !all_digits(strv_from(t, 2)))
        return false;
    strv d = strv_from(t, 2);
    int odd = digit(d, 0) + digit(d, 2) + digit(d, 4),
        even = digit(d, 1) + digit(d, 3) + digit(d, 5);
    return (odd + 2 * even) % 10 == digit(d, 6);
}

bool valid_card(strv t)
{
    if (t.len < 13 || t.len > 19 || !valid_luhn(t) || same_digits(t))
        return false;
    int two = number(t, 0, 2), three = number(t, 0, 3), four = number(t, 0, 4);
    if (t.ptr[0] == '4') /* Visa */
        return t.len == 13 || t.len == 16 || t.len == 19;
    if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) /* Mastercard */
        return t.len == 16;
    if (two == 34 || two == 37) /* American Express */
        return t.len == 15;
    if (four == 6011 || two == 65 || (three >= 644 && three <= 649) ||
        two == 62) /* Discover, UnionPay */
        return t.len >= 16;
    if (four >= 3528 && four <= 3589) /* JCB */
        return t.len >= 16;
    if (two == 36 || two == 38 || two == 39 || (three >= 300 && three <= 305)) /* Diners */
        return t.len >= 14;
    return (two == 50 || two == 56 || two == 57 || two == 58 || two == 63 || two == 67) &&
           t.len >= 16; /* Maestro */
}

/* American Bankers Association: weights 3 7 1; the first two digits name a district. */
bool valid_aba(strv t)
{
    if (t.len != 9 || !all_digits(t) || same_digits(t))
        return false;
    int district = number(t, 0, 2), sum = 0;
    static const int weight[3] = {3, 7, 1};
    for (size_t i = 0; i < 9; i++)
        sum += digit(t, i) * weight[i % 3];
    return sum % 10 == 0 && (district <= 12 || (district >= 21 && district <= 32) ||
                             (district >= 61 && district <= 72) || district == 80);
}

/* ISO 13616: the first four characters go to the end, letters are 10 to 35, and the rest by 97 is 1. */
bool valid_iban(strv t)
{
    if (t.len < 15 || t.len > 34 || !is_letter(t.ptr[0]) || !is_letter(t.ptr[1]) ||
        !is_digit(t.ptr[2]) || !is_digit(t.ptr[3]))
        return false;
    int rest = 0;
    for (size_t i = 0; i < t.len; i++) {
        char c = upper(t.ptr[(i + 4) % t.len]);
        if (!is_digit(c) && !is_letter(c))
            return false;
        rest = is_digit(c) ? (rest * 10 + c - '0') % 97 : (rest * 100 + c - 'A' + 10) % 97;
    }
    return rest == 1;
}

/* 49 CFR 565, table IV and V. */
bool valid_vin(strv t)
{
    static const char letters[] = "ABCDEFGHJKLMNPRSTUVWXYZ";
    static const int values[] = {1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4,
                                 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9};
    static const int weights[] = {8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2};
    int sum = 0, n_digits = 0;
    if (t.len != 17 || same_digits(t))
        return false;
    for (size_t i = 0; i < 17; i++) {
        char c = upper(t.ptr[i]);
        const char *letter = is_letter(c) ? strchr(letters, c) : NULL;
        if (!is_digit(c) && letter == NULL)
            return false;
        n_digits += is_digit(c);
        sum += weights[i] * (letter != NULL ? values[letter - letters] : c - '0');
    }
    char want = sum % 11 == 10 ? 'X' : (char)('0' + sum % 11);
    return upper(t.ptr[8]) == want && n_digits >= 4;
}

/* CMS, "Understanding the Medicare Beneficiary Identifier": C A AN N A AN N A A N N. */
bool valid_mbi(strv t)
{
    static const char form[] = "CAXNAXNAANN";
    if (t.len != 11)
        return false;
    for (size_t i = 0; i < 11; i++) {
        char c = upper(t.ptr[i]);
        bool letter = is_letter(c) && strchr("SLOIBZ", c) == NULL;
        bool ok = form[i] == 'C'   ? c >= '1' && c <= '9'
                  : form[i] == 'N' ? is_digit(c)
                  : form[i] == 'A' ? letter
                                   : letter || is_digit(c);
        if (!ok)
            return false;
    }
    return true;
}

/* ATIS-0300051: NXX-NXX-XXXX, and no area of the form N11. */
bool valid_nanp(strv t)
{
    return t.len == 10 && all_digits(t) && t.ptr[0] >= '2' && t.ptr[3] >= '2' &&
           !(t.ptr[1] == '1' && t.ptr[2] == '1') && !same_digits(t);
}

bool valid_nanp_service(strv t)
{
    static const char *const known[] = {"8002221222", "8002738255", "8006624357", "8007997233",
                                        "8004224453", "8006564673", "8003676767", "8002324636",
                                        "8006336226", "8007721213", "8008291040", "8009524746"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strv_eq_cstr(t, known[i]))
            return true;
    return false;
}

/* RENAPO: four letters, date, sex, state, three consonants, one place, check digit. */
bool valid_curp(strv t)
{
    static const char form[] = "AAAANNNNNNSAAAAAXN";
    int sum = 0;
    if (t.len != 18)
        return false;
    for (size_t i = 0; i < 18; i++) {
        char c = upper(t.ptr[i]);
        bool ok = form[i] == 'A'   ? is_letter(c)
                  : form[i] == 'N' ? is_digit(c)
                  : form[i] == 'S' ? c == 'H' || c == 'M' || c == 'X'
                                   : is_letter(c) || is_digit(c);
        if (!ok)
            return false;
        int value = is_digit(c) ? c - '0' : c - 'A' + 10 + (c > 'N' ? 1 : 0);
        if (i < 17)
            sum += value * (18 - (int)i);
    }
    return valid_date(1900 + number(t, 4, 2), number(t, 6, 2), number(t, 8, 2)) &&
           (10 - sum % 10) % 10 == digit(t, 17);
}

/* Spain, Real Decreto 1553/2005: the number by 23 gives the letter; X, Y, Z stand for 0, 1, 2. */
bool valid_dni(strv t)
{
    static const char letters[] = "TRWAGMYFPDXBNJZSQVHLCKE";
    if (t.len != 9 || !is_letter(t.ptr[8]))
        return false;
    char first = upper(t.ptr[0]);
    int lead = first >= 'X' && first <= 'Z' ? first - 'X' : is_digit(first) ? first - '0' : -1;
    if (lead < 0 || !all_digits((strv){t.ptr + 1, 7}))
        return false;
    return letters[(lead * 10000000 + number(t, 1, 7)) % 23] == upper(t.ptr[8]);
}

/* HMRC manual NIM39110. */
bool valid_nino(strv t)
{
    if (t.len != 9 || !all_digits((strv){t.ptr + 2, 6}))
        return false;
    char a = upper(t.ptr[0]), b = upper(t.ptr[1]), c = upper(t.ptr[8]);
    static const char *const never[] = {"BG", "GB", "NK", "KN", "TN", "NT", "ZZ"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (a == never[i][0] && b == never[i][1])
            return false;
    return is_letter(a) && is_letter(b) && strchr("DFIQUV", a) == NULL &&
           strchr("DFIQUVO", b) == NULL && c >= 'A' && c <= 'D';
}

/* Receita Federal: two digits, each a weighted sum mod 11. */
bool valid_cpf(strv t)
{
    if (t.len != 11 || !all_digits(t) || same_digits(t))
        return false;
    for (size_t k = 9; k < 11; k++) {
        int sum = 0;
        for (size_t i = 0; i < k; i++)
            sum += digit(t, i) * (int)(k + 1 - i);
        if (sum * 10 % 11 % 10 != digit(t, k))
            return false;
    }
    return true;
}

bool valid_imei(strv t)
{
    return t.len == 15 && valid_luhn(t) && !same_digits(t);
}

bool valid_verhoeff(strv t)
{
    static const char product[10][11] = {"0123456789", "1234067895", "2340178956", "3401289567",
                                         "4012395678", "5987604321", "6598710432", "7659821043",
                                         "8765932104", "9876543210"};
    static const char permuted[8][11] = {"0123456789", "1576283094", "5803796142", "8916043527",
                                         "9453126870", "4286573901", "2793806415", "7046913258"};
    int c = 0;
    if (!all_digits(t))
        return false;
    for (size_t i = 0; i < t.len; i++)
        c = product[c][permuted[i % 8][digit(t, t.len - 1 - i)] - '0'] - '0';
    return c == 0;
}

/* 45 CFR 164.514(b)(2)(i)(B), the places with 20,000 people or fewer (2000 census). */
bool valid_zip3_small(strv zip)
{
    static const int small[] = {36,  59,  63,  102, 203, 556, 692, 790, 821,
                                823, 830, 831, 878, 879, 884, 890, 893};
    if (zip.len < 3 || !all_digits((strv){zip.ptr, 3}))
        return false;
    int three = number(zip, 0, 3);
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++)
        if (three == small[i])
            return true;
    return false;
}

bool valid_state(strv two)
{
    static const char all[] =
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT "
        "NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR "
        "VI GU AS MP AE AP AA ";
    for (size_t i = 0; two.len == 2 && i + 2 < sizeof all; i += 3)
        if (all[i] == two.ptr[0] && all[i + 1] == two.ptr[1])
            return true;
    return false;
}

/* ---- addresses of machines ---- */

static bool text_of(strv t, char *out, size_t size)
{
    if (t.len == 0 || t.len >= size)
        return false;
    memcpy(out, t.ptr, t.len);
    out[t.len] = '\0';
    return true;
}

/* IANA's registry of special addresses (RFC 6890). */
bool valid_ip4_public(strv t)
{
    static const struct {
        uint32_t net;
        int bits;
    } special[] = {{0x00000000, 8},  {0x0A000000, 8},  {0x64400000, 10}, {0x7F000000, 8},
                   {0xA9FE0000, 16}, {0xAC100000, 12}, {0xC0000000, 24}, {0xC0000200, 24},
                   {0xC0586300, 24}, {0xC0A80000, 16}, {0xC6120000, 15}, {0xC6336400, 24},
                   {0xCB007100, 24}, {0xE0000000, 3}, /* multicast and above */
                   {0x08080808, 32}, {0x08080404, 32}, {0x01010101, 32}, {0x01000001, 32},
                   {0x09090909, 32}, {0xD043DEDE, 32}, {0xD043DCDC, 32}};
    char text[16];
    struct in_addr a;
    if (!text_of(t, text, sizeof text) || inet_pton(AF_INET, text, &a) != 1)
        return false;
    uint32_t ip = ntohl(a.s_addr);
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (((ip ^ special[i].net) >> (32 - special[i].bits)) == 0)
            return false;
    return true;
}

bool valid_ip6_public(strv t)
{
    char text[46];
    struct in6_addr a;
    if (!text_of(t, text, sizeof text) || inet_pton(AF_INET6, text, &a) != 1)
        return false;
    const unsigned char *b = a.s6_addr;
    if ((b[0] & 0xE0) != 0x20) /* global unicast is 2000::/3 */
        return false;
    return !(b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0D && b[3] == 0xB8) && /* documentation */
           !(b[0] == 0x3F && b[1] == 0xFF && b[2] < 0x10);
}

bool valid_mac(strv t)
{
    int sum = 0;
    if (t.len != 17)
        return false;
    for (size_t i = 0; i < 17; i++) {
        if (i % 3 == 2 ? t.ptr[i] != t.ptr[2] || strchr(":-", t.ptr[i]) == NULL
                       : strv_hex(t.ptr[i]) < 0)
            return false;
        sum += i % 3 == 2 ? 0 : strv_hex(t.ptr[i]);
    }
    return t.ptr[2] != '\0' && sum != 0 && sum != 12 * 15;
}

/* ---- dates ---- */

bool is_one_slip(strv a, strv b)
{
    size_t i = 0, end_a = a.len, end_b = b.len;
    while (i < end_a && i < end_b && a.ptr[i] == b.ptr[i])
        i++;
    while (end_a > i && end_b > i && a.ptr[end_a - 1] == b.ptr[end_b - 1])
        end_a--, end_b--;
    size_t left_a = end_a - i, left_b = end_b - i;
    if (left_a <= 1 && left_b <= 1)
        return true;
    return left_a == 2 && left_b == 2 && a.ptr[i] == b.ptr[i + 1] && a.ptr[i + 1] == b.ptr[i];
}

enum { SLIP_MIN = 6 }; /* letters: shorter names are too near to other words */

int valid_month(strv w)
{
    static const char *const names[12][5] = {
        {"january", "jan", "enero", "ene", NULL},
        {"february", "feb", "febrero", NULL, NULL},
        {"march", "mar", "marzo", NULL, NULL},
        {"april", "apr", "abril", "abr", NULL},
        {"may", "mayo", NULL, NULL, NULL},
        {"june", "jun", "junio", NULL, NULL},
        {"july", "jul", "julio", NULL, NULL},
        {"august", "aug", "agosto", "ago", NULL},
        {"september", "sep", "sept", "septiembre", "setiembre"},
        {"october", "oct", "octubre", NULL, NULL},
        {"november", "nov", "noviembre", NULL, NULL},
        {"december", "dec", "diciembre", "dic", NULL}};
    int near = 0;
    for (int m = 0; m < 12; m++)
        for (int k = 0; k < 5 && names[m][k] != NULL; k++) {
            strv name = strv_of(names[m][k]);
            if (strv_eq(w, name))
                return m + 1;
            if (w.len + 1 >= name.len && name.len >= SLIP_MIN && is_one_slip(w, name))
                near = m + 1;
        }
    return near;
}

bool valid_date(int year, int month, int day)
{
    static const int days[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] &&
           (year == 0 || (year > 0 && year < 100) || (year >= 1900 && year < 2100));
}
