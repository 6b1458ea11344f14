/* SPDX-License-Identifier: Apache-2.0 */
/* words - names of methods and statuses, finding a header, and what none may hold. */
#include "http/http.h"

static const char *const methods[] = {
    [HTTP_GET] = "GET",     [HTTP_HEAD] = "HEAD",     [HTTP_POST] = "POST",
    [HTTP_PUT] = "PUT",     [HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
    [HTTP_PATCH] = "PATCH", [HTTP_OTHER] = "OTHER",
};

/* RFC 9110 and the registry of 2025; those that a router or a provider's answer can carry. */
static const struct {
    int status;
    const char *text;
} statuses[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {529, "Overloaded"}, /* Anthropic's */
};

const char *http_method_name(enum http_method m)
{
    return methods[m];
}

const char *http_status_text(int status)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (statuses[i].status == status)
            return statuses[i].text;
    }
    return "Unknown";
}

static strv find(const struct http_header *headers, size_t n, const char *name)
{
    strv wanted = strv_of(name);

    for (size_t i = 0; i < n; i++) {
        if (headers[i].name.len == wanted.len && strv_eq_nocase(headers[i].name, wanted))
            return headers[i].value;
    }
    return STRV_NONE;
}

strv http_request_header(const struct http_request *req, const char *name)
{
    return find(req->headers, req->n_headers, name);
}

size_t http_request_header_count(const struct http_request *req, const char *name)
{
    strv wanted = strv_of(name);
    size_t count = 0;

    for (size_t i = 0; i < req->n_headers; i++)
        count += strv_eq_nocase(req->headers[i].name, wanted);
    return count;
}

strv http_answer_header(const struct http_answer *a, const char *name)
{
    return find(a->headers, a->n_headers, name);
}

/* Eight bytes at a time: one below 0x10 is looked at more closely, and seldom there. */
bool http_ends_line(strv v)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t eight, low = v.len < sizeof eight;
    for (size_t at = 0; v.len >= sizeof eight && at < v.len; at += sizeof eight) {
        size_t last = v.len - sizeof eight;
        memcpy(&eight, v.ptr + (at < last ? at : last), sizeof eight);
        low |= (eight - ones * 0x10) & ~eight & ones * 0x80;
    }
    for (size_t i = 0; low != 0 && i < v.len; i++)
        if (v.ptr[i] == '\r' || v.ptr[i] == '\n' || v.ptr[i] == '\0')
            return true;
    return false;
}
