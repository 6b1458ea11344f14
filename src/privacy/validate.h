/* SPDX-License-Identifier: Apache-2.0 */
/*
 * validate - is this number one of those? Pure functions, each after its published rule; the vectors are in
 * validate_test.c.
 *
 * Digits are given as text without separators, letters in either case. What a rule says about places that
 * are never given out (an SSN's area 666, an exchange that begins with 1) makes the answer "no".
 */
#ifndef PRIVACY_VALIDATE_H
#define PRIVACY_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

bool valid_luhn(strv digits);
bool valid_ssn(strv nine);    /* area, group and serial that may be; taxpayer numbers (ITIN) too */
bool valid_npi(strv ten);     /* Luhn over 80840 and the number */
bool valid_dea(strv nine);    /* two letters, seven digits, the last one a sum */
bool valid_card(strv digits); /* Luhn and the prefix of an issuer, 13 to 19 digits */
bool valid_aba(strv nine);
bool valid_iban(strv text); /* its country's length is not known here: 15 to 34 */
bool valid_vin(strv text);  /* 17, with the check digit of North America */
bool valid_mbi(strv eleven);
bool valid_nanp(strv ten);         /* area and exchange of North America */
bool valid_nanp_service(strv ten); /* a number of everybody: poison control and the like */
bool valid_curp(strv text);
bool valid_dni(strv text); /* Spain: DNI and NIE */
bool valid_nino(strv text);
bool valid_cpf(strv eleven);
bool valid_imei(strv fifteen);
bool valid_verhoeff(strv digits); /* Aadhaar */
/* A code of which only the first three digits may stay, and not even these. */
bool valid_zip3_small(strv zip);
bool valid_state(strv two); /* a state or territory of the USA, capital letters */

/* A public address; private, loopback, link-local, documentation and multicast ones are none, nor are the
 * well-known resolvers. */
bool valid_ip4_public(strv text);
bool valid_ip6_public(strv text);
bool valid_mac(strv text); /* six pairs with ':' or '-', neither all zeros nor all ones */

/* Are they the same, but for one letter too many, too few, another one, or two changed over? */
bool is_one_slip(strv a, strv b);
/* A month's number by its name or short name in English or Spanish, lower case; 0 = none. A longer name may have a slip of
 * the hand in it. */
int valid_month(strv word);
/* A day of some calendar between 1900 and 2099; year 0 = not said, two digits are of this or the last century. */
bool valid_date(int year, int month, int day);

#endif
