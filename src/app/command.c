/* SPDX-License-Identifier: Apache-2.0 */
/* command - the tables, and what is made of them. */
#include "app/command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/term.h"

extern char **environ;

const struct flag_row flag_rows[FLAGS] = {
    [FLAG_CONFIG] = {'c', "config", "FILE",
                     "Configuration file. Without it: $LLM_ROUTER_CONFIG, ./llm-router.yaml, "
                     "/etc/llm-router/llm-router.yaml, the first that exists; else the "
                     "environment alone."},
    [FLAG_SET] = {0, "set", "OPTION=VALUE",
                  "Sets one option over file and environment. May be given several times."},
    [FLAG_JSON] = {0, "json", NULL, "Prints one JSON document instead of text."},
    [FLAG_MODEL] = {'m', "model", "NAME", "Model, role, alias or provider/model. Default: auto."},
    [FLAG_SYSTEM] = {'s', "system", "TEXT", "System prompt."},
    [FLAG_PRIVATE] = {'p', "private", NULL,
                      "Marks the question private: only local providers may see it. With audit: "
                      "only private requests."},
    [FLAG_MODE] = {0, "mode", "MODE",
                   "local, hybrid or cloud; can only narrow what the configuration allows."},
    [FLAG_TASK] = {0, "task", "CLASS", "Task class, as in the header X-LLM-Task."},
    [FLAG_MAX_TOKENS] = {0, "max-tokens", "N", "Longest answer, in tokens."},
    [FLAG_URL] = {'u', "url", "URL",
                  "Address of the running router. Default: $LLM_ROUTER_URL, else the first "
                  "listen address of the configuration."},
    [FLAG_SAMPLE] = {0, "sample", NULL,
                     "Prints a sample file with every option, its default and its documentation."},
    [FLAG_OFFLINE] = {0, "offline", NULL, "Contacts nobody: answers from the configuration alone."},
    [FLAG_REQUEST] =
        {'r', "request", NULL,
         "The word is a file that holds a whole request as JSON, as POST /router/generate "
         "takes it; - is standard input."},
    [FLAG_DOOR] =
        {0, "door", "NAME",
         "The interface whose form the request has: native, openai, responses, anthropic or "
         "ollama. Default: native."},
    [FLAG_PROVIDER] = {0, "provider", "NAME", "Name of a provider of the configuration."},
    [FLAG_BY] = {0, "by", "WHAT", "day, class, model, key or provider. Default: day."},
    [FLAG_SINCE] =
        {0, "since", "DAY",
         "First day, 2026-11-01, or how many days, 7d. Default: 30 days. audit takes a time "
         "as well, 2026-11-01T15:00 (UTC), or how long ago, 30m, 6h; default: all."},
    [FLAG_UNTIL] = {0, "until", "DAY",
                    "Last day. Default: today, by UTC. audit takes a time as well."},
    [FLAG_CSV] = {0, "csv", NULL, "Prints comma-separated values with a line of names."},
#define POLICY_RULE(id, name, kind, member, min, max, value, doc)                                  \
    [FLAG_RULE_##id] = {0, name, value, doc},
#include "policy/key_rules.def"
#undef POLICY_RULE
    [FLAG_PUBLIC_KEY] = {'k', "public-key", "FILE",
                         "Public key to check with (PEM). audit: default is that of the "
                         "configuration. bundle: there is no default, and never take one that "
                         "came with the bundle."},
    [FLAG_EXPECT] = {0, "expect", "SEQ:HASH",
                     "This record must be there: its number and digest as an earlier check, or the "
                     "log, told them."},
    [FLAG_KEY_ID] = {0, "key", "ID",
                     "Only requests with the API key of this id. explain: by the rules of this "
                     "key, by its id or its name."},
    [FLAG_REQUEST_ID] = {0, "request-id", "ID", "Only the request of this id."},
    [FLAG_ZONE] = {0, "zone", "ZONE", "Only requests that were sent to local or to cloud."},
    [FLAG_OUTCOME] = {0, "outcome", "WORD", "Only exchanges that ended so: ok, caller_gone, ..."},
    [FLAG_FOLLOW] = {'f', "follow", NULL, "Goes on printing what is added."},
    [FLAG_AGENT] = {'a', "agent", NULL,
                    "With the tools of the configured MCP servers: the same as --model agent."},
    [FLAG_FOR] = {0, "for", "QUESTION",
                  "What a model would be offered with this question: which tools, and how many "
                  "tokens."},
    [FLAG_STDIO] = {0, "stdio", NULL, "Speaks on standard input and output."},
    [FLAG_REMEMBER] = {0, "remember", NULL,
                       "The approval holds for this tool until the session is over."},
    [FLAG_PASTE] =
        {0, "paste", NULL,
         "Nothing listens for the browser: its last address is read from standard input."},
    [FLAG_SESSION] = {0, "session", "ID", "Go on with the conversation of this id."},
    [FLAG_NO_HISTORY] = {0, "no-history", NULL,
                         "What is typed is not kept in a file for later sessions."},
    [FLAG_PROBLEM] = {0, "problem", "FILE", "The problem, a JSON file (docs/advisor.md)."},
    [FLAG_GENERATOR] = {0, "generator", "CMD",
                        "Command, for the shell, of the program that makes candidates."},
    [FLAG_EVALUATOR] = {0, "evaluator", "CMD",
                        "Command, for the shell, of the program that judges them."},
    [FLAG_ADVISOR] = {0, "advisor", "WHO",
                      "auto: a model, and the rules where it has no answer that can be used; "
                      "model; rules; off: nobody is asked, and no router is needed. Default: "
                      "auto."},
    [FLAG_SEED] = {0, "seed", "N", "Seed of the run, in the place of the problem's."},
    [FLAG_ROUNDS] = {0, "rounds", "N", "Most rounds, in the place of the problem's."},
    [FLAG_STATE] = {0, "state", "FILE",
                    "Where the run is kept after each round, and gone on from. Default: the "
                    "problem's name with .loop.json."},
    [FLAG_REPORT] = {0, "report", "FILE",
                     "The run as a page with plots. Default: the problem's name with .html."},
    [FLAG_MISSING] = {0, "missing", NULL,
                      "Instead of MODEL: every model that the configuration names for a local "
                      "Ollama (roles, default_model) and that it does not have."},
    [FLAG_FIRST] = {0, "first", "FILE",
                    "With add: only if there is no key that holds, and into a new file for its "
                    "owner alone."},
    [FLAG_INSTALLED] = {0, "installed", NULL,
                        "With verify: what is installed below PREFIX, not a bundle."},
    [FLAG_REPLACE] = {0, "replace", NULL,
                      "With install: a file that is there and another one is kept as FILE.old, and "
                      "the new one takes its place."},
    [FLAG_TAKE_OVER] = {0, "take-over", NULL,
                        "From a router that serves with the same state_dir, without ending a "
                        "stream. With reload: also if the program is the same."},
    [FLAG_DIR] = {0, "dir", "DIR", "The authority's folder. Default: ca below state_dir."},
    [FLAG_DAYS] =
        {0, "days", "N",
         "How long what is made now holds. Default: an authority 3650, a certificate 397, "
         "since browsers take none that is longer."},
    [FLAG_PASSPHRASE] = {0, "passphrase-file", "FILE",
                         "Its first line seals the authority's key, and opens it."},
    [FLAG_READY] = {0, "ready", NULL, "Asks whether a request could be served, too."},
    [FLAG_HELP] = {'h', "help", NULL, "Prints this help."},
};

#define F(x)   FLAG_BIT(FLAG_##x)
#define SOURCE (F(CONFIG) | F(SET))
#define RULES  F(RULE_MODE)

const struct command commands[] = {
    {"serve", "", "run the router",
     "Runs in the foreground and logs to standard error, one JSON object a line.\n\n"
     "SIGHUP reads the configuration again and takes it over whole, without ending a stream; a "
     "wrong file changes "
     "nothing. SIGTERM and SIGINT let streams end for as long as `drain` says; a second one ends "
     "at once.",
     SOURCE | F(TAKE_OVER), 0, 0, command_serve},
    {"reload", "", "have the running router take over what is new",
     "Has the router that serves with this state_dir read its configuration again, as SIGHUP does. "
     "Where the program's file is another one than that router was started from, after an upgrade, "
     "a "
     "new process is started beside it, in the background: it gets the listening sockets, and when "
     "it "
     "serves, the old one ends its streams for as long as `drain` says, and goes. No connection is "
     "refused and no stream is cut. If the new one cannot start, the old one goes on.\n\n"
     "Exit status 0 with a new process means that it serves; 3 that no router was found. A wrong "
     "configuration is told here, with exit status 2, and changes nothing.",
     SOURCE | F(TAKE_OVER), 0, 0, command_reload},
    {"check", "", "validate the configuration and print the effective one",
     "Prints every option with its value and where it came from. Secrets are masked. Warnings go "
     "to standard "
     "error.\n\n"
     "Exit status 2 means that the configuration is wrong; standard error says where and what was "
     "expected.",
     SOURCE | F(SAMPLE), 0, 0, command_check},
    {"doctor", "", "probe providers, models, engine, disk and clock",
     "Asks every configured provider for its models, starts nothing, and prints every address that "
     "the program may "
     "ever contact. Exit status 1 if nothing could be served.",
     SOURCE | F(JSON) | F(OFFLINE), 0, 0, command_doctor},
    {"health", "", "ask the running router whether it is well",
     "One question to GET /healthz, or with --ready to GET /readyz, and nothing printed when all "
     "is "
     "well: for the health check of a container or a watchdog, where no other program need be. A "
     "router that is not ready also goes on living: a container should be asked without --ready.",
     SOURCE | F(URL) | F(READY), 0, 0, command_health},
    {"ask", "[\"QUESTION\"] [-]", "ask one question, the answer streamed",
     "Sends the question to the running router. Without a question, or with -, it is read from "
     "standard input; with "
     "both, what standard input holds follows the question. The API key is taken from "
     "$LLM_ROUTER_KEY.\n\n"
     "The answer goes to standard output. On a terminal a last line on standard error tells who "
     "answered, and "
     "control characters in the answer are left out. With --json the whole answer is one document: "
     "content, "
     "provider, model, usage, finish_reason, metadata.\n\n"
     "Exit status 1 means that the answer broke off: what was printed is incomplete.",
     SOURCE | F(JSON) | F(MODEL) | F(AGENT) | F(SYSTEM) | F(PRIVATE) | F(MODE) | F(TASK) |
         F(MAX_TOKENS) | F(URL),
     0, 2, command_ask},
    {"models", "", "list what can be asked for",
     "Asks the configured providers for their models and prints them with the roles and aliases "
     "that lead to them. "
     "Exit status 3 if no provider could be reached.",
     SOURCE | F(JSON), 0, 0, command_models},
    {"pull", "MODEL | --missing", "have an Ollama download a model",
     "Asks an Ollama of the configuration to download the model and shows how far it is: the one "
     "that --provider or "
     "provider/MODEL names, else the first local one. A router need not run, and allow_pull is not "
     "needed: that is "
     "for callers. With airgap nothing is asked.\n\n"
     "What has arrived is kept by the server. When the connection breaks it is asked again, a few "
     "times; so does the "
     "same command later, also after Ctrl-C, and the download goes on where it stopped. An error "
     "that Ollama itself "
     "reports ends the command: it has tried again by then.\n\n"
     "On a terminal one line shows bytes, speed and the time that is left. Otherwise a line is "
     "printed for every new "
     "step and every five seconds. With --json every line is an object whose `event` is progress, "
     "retry, done or "
     "error.",
     SOURCE | F(JSON) | F(PROVIDER) | F(MISSING), 0, 1, command_pull},
    {"explain", "\"QUESTION\" | --request FILE",
     "tell where a request would go and why, without sending it",
     "Tells whether it is private and what was found (kinds and numbers, never text), its class, "
     "every rule that "
     "has a say, the plan in order, and for every candidate that was left out the reason. All of "
     "it is decided by "
     "what decides for a request.\n\n"
     "Providers are asked for their model lists unless --offline is given; the question goes "
     "nowhere. With - it is "
     "read from standard input. With --request the word names a file with a whole request: tools, "
     "images and the "
     "rest of a conversation count, too. What was spent is read from the ledger's file, and --key "
     "asks as the holder of that key. What only a running router knows (earlier turns of a "
     "conversation, used-up rates) is not looked at; POST /router/explain asks it.\n\n"
     "Exit status 4 means that such a request would be refused.",
     SOURCE | F(JSON) | F(MODEL) | F(PRIVATE) | F(MODE) | F(TASK) | F(OFFLINE) | F(REQUEST) |
         F(DOOR) | F(KEY_ID),
     1, 1, command_explain},
    {"keys", "add NAME | edit ID | list | revoke ID", "manage the API keys of callers",
     "A key is shown once, when it is made: alone on standard output. Only its digest is kept. A "
     "running router "
     "takes changes over within seconds.\n\n"
     "What a key may do is said when it is made, or later with edit, by the flags below; without "
     "them it may do whatever the configuration allows, but not read what is told of other "
     "callers. The value none takes a rule away.\n\n"
     "With --first a service can make its first key by itself, at each start: where there is a key "
     "already nothing is done, and that is no failure. Read the file and remove it.",
     SOURCE | F(JSON) | RULES | F(FIRST), 1, 2, command_keys},
    {"approvals", "[list] | approve ID | deny ID",
     "decide about calls of tools that wait for a person",
     "list shows each call that waits, with all of its arguments. A decision is for exactly these "
     "arguments of exactly this tool, and a running router takes it over within a moment. The "
     "same over HTTP: GET and POST /router/approvals, with a key that has the right admin.",
     SOURCE | F(JSON) | F(REMEMBER), 0, 2, command_approvals},
    {"usage", "", "cost and savings by day, class, model, key or provider",
     "Reads the ledger's file, beside a router that writes it or without one. What was asked "
     "within "
     "the last moment (ledger.interval) may not be in it yet.\n\n"
     "IN THE CLOUD is what the model of the option ledger.reference would have charged for the "
     "same "
     "tokens, by the price list and on the day of each request; SAVED is that less what was "
     "charged. It is an estimate: other models count tokens and answer otherwise, and no part of a "
     "prompt that was answered locally counts as cached. Days are those of UTC. The bar of a line, "
     "on a terminal, shows COST in full cells, and behind it in light ones what more the cloud "
     "would have been.",
     SOURCE | F(JSON) | F(CSV) | F(BY) | F(SINCE) | F(UNTIL), 0, 0, command_usage},
    {"audit", "verify [DIR] | show [DIR] | key [rotate]",
     "check and read the record of what went where",
     "verify reads every record and tells each one that was changed, removed, repeated, moved or "
     "put in, by file, line and number; exit status 1 if there is any. It works on a copy of the "
     "folder with the public key alone. Keep the line `last:` that it prints, or those that the "
     "router logs as audit_checkpoint, somewhere else: with --expect a later check proves that "
     "this record is still there, also against somebody who can put back an older state of the "
     "whole folder.\n\n"
     "show prints the records in order, those of exchanges as a table; the flags choose. With "
     "--json each line is the record as it stands.\n\n"
     "key prints the public key (PEM). Whoever checks should have it from a place that whoever "
     "can write the audit cannot change. key rotate makes a new one and prints that; the router "
     "takes it at its next reload or start, with a record that the old one signs. Records of both "
     "are checked with either.",
     SOURCE | F(JSON) | F(PUBLIC_KEY) | F(EXPECT) | F(SINCE) | F(UNTIL) | F(KEY_ID) |
         F(REQUEST_ID) | F(PROVIDER) | F(ZONE) | F(PRIVATE) | F(OUTCOME) | F(FOLLOW),
     1, 2, command_audit},
    {"bundle",
     "keygen KEY | create DIR KEY [PLACE=PATH...] | verify DIR | verify --installed PREFIX "
     "[PATH...] | install DIR PREFIX",
     "carry all that a machine without a network needs",
     "A bundle is a folder with a MANIFEST of every file in it (size, SHA-256, path) and its "
     "signature by Ed25519. `sha256sum -c MANIFEST` and openssl check it, too: docs/airgap.md has "
     "the commands and what belongs into a bundle.\n\n"
     "keygen makes the private key KEY and prints the public one. Carry that to the other side by "
     "another way than the bundles.\n\n"
     "create copies this program and its data file, and for each PLACE=PATH the file or folder "
     "PATH, "
     "which is to lie at PLACE below the prefix. Links become the files that they lead to.\n\n"
     "verify reads every file and names each one that is missing, was changed, or is not in the "
     "manifest. With --installed it reads what the last install has put below PREFIX: all, or only "
     "the files and folders named, which must be in the manifest. An engine that is started behind "
     "it loads no model that was changed.\n\n"
     "install checks the bundle and copies it below PREFIX: all of it or nothing. A file that is "
     "there and the same is kept; one that is there and another is named and nothing is done, "
     "unless --replace is given. When it is ended the same command goes on.\n\n"
     "Exit status 1 means that something is not as the manifest says.",
     F(JSON) | F(PUBLIC_KEY) | F(INSTALLED) | F(REPLACE), 2, 200, command_bundle},
    {"mcp",
     "list | tools [SERVER] | call SERVER TOOL [JSON] | check | login SERVER | logout SERVER | "
     "import FILE | serve --stdio",
     "servers of tools: what there is, what is wrong, one call",
     "list, tools and check visit the servers of mcp_servers themselves, as serve would start and "
     "reach them; no router need run. check tells everything that is wrong with a server or a "
     "tool; exit status 3 if a server is down.\n\n"
     "tools prints what the servers offer, what it does, and what may be done with it; with --for, "
     "what a model would be offered with that question.\n\n"
     "call has the running router call one tool, by the rights of $LLM_ROUTER_KEY; a call that "
     "needs approval waits for it. The arguments are a JSON object. Exit status 1 if the tool says "
     "that it failed.\n\n"
     "login gets the tokens of a server that wants a login: it prints an address to be opened in a "
     "browser on this machine, and waits until the browser comes back. With --paste the browser "
     "may "
     "be anywhere: the address that it ends at is to be pasted. Where client_credentials is on, "
     "nobody need do anything. What is kept is refreshed by the running router, which notices it "
     "within a moment. logout forgets it.\n\n"
     "import prints what a desktop application's or a bridge's JSON file (mcpServers) says as a "
     "section of llm-router.yaml, for you to read and to put there. No secret is copied: standard "
     "error says which variables are to be set.\n\n"
     "serve --stdio is for programs that start their MCP servers themselves: it speaks the "
     "protocol "
     "on standard input and output, and passes every message to the running router's /mcp, with "
     "$LLM_ROUTER_KEY. Only messages are written to standard output.",
     SOURCE | F(JSON) | F(FOR) | F(STDIO) | F(URL) | F(PASTE), 1, 4, command_mcp},
    {"advise", "loop", "run an optimisation that asks for advice",
     "loop goes round: the generator makes a candidate with the present parameters, the evaluator "
     "judges it, a rule changes the parameters. On stagnation, and when a round fails in a way "
     "that none did before, the running router is asked for advice, by the rights of "
     "$LLM_ROUTER_KEY; what it accepts acts on one round. Without advice, and with an adviser that "
     "is dead, slow or talks rubbish, the same seed gives the same run.\n\n"
     "Generator and evaluator are programs that answer lines of JSON on standard input with lines "
     "on standard output; docs/advisor.md has the protocol. It ends when the target is reached, "
     "when there were enough rounds, after too many without gain, or when its time is over. The "
     "state file is replaced after every round: whatever ends the command, the same command goes "
     "on. With --json the whole run is printed at the end as one document, which is also what the "
     "state file holds.\n\n"
     "report tells, from the ledger's file, how much advice was asked for, accepted and applied, "
     "and by how much the best score rose after advice that was applied.",
     SOURCE | F(JSON) | F(SINCE) | F(URL) | F(PROBLEM) | F(GENERATOR) | F(EVALUATOR) | F(ADVISOR) |
         F(SEED) | F(ROUNDS) | F(STATE) | F(REPORT),
     1, 1, command_advise},
    {"chat", "[\"QUESTION\"] [-]", "hold a conversation",
     "On a terminal: questions and answers with line editing, answers as they come, in a form for "
     "the terminal. Ctrl-C stops the answer, not the program; twice at an empty prompt, or Ctrl-D, "
     "leaves. A call of a tool that needs approval is asked about. /help lists what can be typed "
     "besides questions: the mode, the model, tools, other conversations, exports.\n\n"
     "With a QUESTION, or where standard input is no terminal, it asks that one question, as ask "
     "does, in a conversation that is kept: --session goes on with it. A call that needs approval "
     "waits for somebody then.\n\n"
     "The answer goes to standard output, everything else to standard error. Questions typed are "
     "kept for the arrow keys in ~/.local/state/llm-router/chat-history, for their owner alone; "
     "those of private conversations, and those whose answer was private, are not.",
     SOURCE | F(MODEL) | F(SYSTEM) | F(MODE) | F(URL) | F(SESSION) | F(NO_HISTORY), 0, 2,
     command_chat},
    {"chat-key", "FILE", "make a key for the conversations that are kept",
     "Writes a new key into FILE, which the option chat.key_file names: conversations are sealed "
     "with it in chat.db. "
     "The file is made with mode 0600. If there is one already, the new key stands first in it and "
     "seals from the next "
     "start on; what those behind it have sealed is sealed anew then, and after that they can be "
     "taken out.\n\n"
     "Keep a copy where backups of chat.db are not: nobody reads a conversation without the key.",
     0, 1, 1, command_chat_key},
    {"ca", "init [TITLE] | server NAME... | client NAME | renew [NAME]... | show",
     "make certificates for a private network",
     "For networks that no public authority knows. init makes an authority, a folder with ca.key "
     "and ca.pem: give ca.pem to everybody who is to trust it, and keep ca.key where few can read "
     "it, best away from the router. server makes NAME.key and NAME.pem for a server that is "
     "called by any of these DNS names and IP addresses; client makes a certificate that a caller "
     "shows where tls.client_ca_file asks for one.\n\n"
     "renew replaces certificates, with the same key and names, those named or all that have less "
     "than 30 days; reload the router then. The authority itself is never renewed. show lists all "
     "of them and how long they hold.\n\n"
     "Keys are ECDSA on P-256, files of keys are for their owner alone, and nothing that is there "
     "is written over. There are no revocation lists.",
     SOURCE | F(DIR) | F(DAYS) | F(PASSPHRASE), 1, 17, command_ca},
    {"version", "", "print the version", "", F(JSON), 0, 0, command_version},
    {"help", "[COMMAND]", "print help", "", 0, 0, 1, command_help},
    {"manpage", "[NAME]", "print a manual page's source",
     "Prints llm-router(1), the page of a command, or llm-router.yaml(5), for the build.", 0, 0, 1,
     command_manpage},
};
const size_t n_commands = sizeof commands / sizeof *commands;

static const struct {
    int status;
    const char *doc;
} statuses[] = {
    {EXIT_OK, "All went well."},
    {EXIT_FAILED, "It failed, or the answer broke off; standard error says why."},
    {EXIT_USAGE, "The command line or the configuration is wrong."},
    {EXIT_UNREACHABLE, "The running router, or every provider, could not be reached."},
    {EXIT_REFUSED, "The request was refused."},
    {EXIT_INTERRUPTED, "Ctrl-C."},
};

static const struct {
    const char *name, *doc;
} variables[] = {
    {"LLM_ROUTER_CONFIG", "Configuration file, if --config names none."},
    {"LLM_ROUTER_URL", "Address of the running router for ask, if --url names none."},
    {"LLM_ROUTER_KEY", "The API key that ask sends."},
    {"NO_COLOR", "If set: no colours on the terminal."},
};

static const struct {
    const char *name, *doc;
} files[] = {
    {"./llm-router.yaml, /etc/llm-router/llm-router.yaml",
     "Configuration, if nobody names another file."},
    {"STATE_DIR/llm-router.db",
     "Digests of the API keys; state_dir is an option of the configuration."},
    {"STATE_DIR/mcp/", "Logins at MCP servers: tokens in clear, for their owner alone."},
    {"STATE_DIR/ledger.db", "The ledger: rows of exchanges and sums of days."},
    {"STATE_DIR/audit/, STATE_DIR/audit.key",
     "The audit's files and the private key that signs them; options audit.dir and audit.key."},
};

static const char about[] =
    "One program between an organisation's applications and its language models. It speaks OpenAI, "
    "Anthropic and Ollama to its callers, sends each request to a local server or to a cloud, "
    "keeps "
    "private requests on the premises, and survives the failure of any provider.";

/* Of the words, not of the build: the same source gives the same pages. */
#define MANUAL_DATE "2026-11-22"

/* ---- help ---- */

/* Breaks text at blanks; later lines are indented. */
static void put_wrapped(FILE *out, const char *text, int indent, int width)
{
    int column = indent;
    while (*text != '\0') {
        int len = (int)strcspn(text, " \n");
        if (column > indent && column + 1 + len > width) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", len, text);
        column += len;
        text += len;
        if (text[0] == '\n' && text[1] == '\n') {
            fprintf(out, "\n\n%*s", indent, "");
            column = indent;
        }
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

static void put_flag(FILE *out, const struct flag_row *f)
{
    int n = f->letter != 0 ? fprintf(out, "  -%c, --%s", f->letter, f->name)
                           : fprintf(out, "      --%s", f->name);
    if (f->value != NULL)
        n += fprintf(out, " %s", f->value);
    if (n < 26)
        fprintf(out, "%*s", 26 - n, "");
    else
        fprintf(out, "\n%*s", 26, "");
    put_wrapped(out, f->doc, 26, 100);
}

static void help_command(FILE *out, const struct command *c)
{
    fprintf(out, "usage: llm-router %s [flags]%s%s\n\n", c->name, c->usage[0] != '\0' ? " " : "",
            c->usage);
    put_wrapped(out, c->doc[0] != '\0' ? c->doc : c->summary, 0, 100);
    fputs("\nflags:\n", out);
    for (unsigned i = 0; i < FLAGS; i++)
        if ((c->flags & FLAG_BIT(i)) != 0 || i == FLAG_HELP)
            put_flag(out, &flag_rows[i]);
}

static void help_all(FILE *out)
{
    fputs("usage: llm-router COMMAND [flags]\n\n", out);
    put_wrapped(out, about, 0, 100);
    fputs("\ncommands:\n", out);
    for (size_t i = 0; i < n_commands; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`llm-router COMMAND --help` tells more; `man llm-router` tells all.\n", out);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < n_commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int command_help(struct cli *cli)
{
    const struct command *c = cli->n_words > 0 ? find_command(cli->words[0]) : NULL;
    if (cli->n_words > 0 && c == NULL) {
        term_error("there is no command \"%s\"", cli->words[0]);
        return EXIT_USAGE;
    }
    if (c != NULL)
        help_command(stdout, c);
    else
        help_all(stdout);
    return EXIT_OK;
}

/* ---- manual pages ---- */

/* Text for man(7): a leading dot or quote and every backslash mean themselves; a blank line is a paragraph. */
static void put_roff(struct buf *b, const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (text[0] == '\n' && text[1] == '\n') {
            buf_put_cstr(b, "\n.PP\n");
            text++;
            line_start = true;
            continue;
        }
        if (line_start && (*text == '.' || *text == '\''))
            buf_put_cstr(b, "\\&");
        if (*text == '\\')
            buf_put_cstr(b, "\\e");
        else if (*text == '-')
            buf_put_cstr(b, "\\-");
        else
            buf_put_char(b, *text);
        line_start = *text == '\n';
    }
    buf_put_char(b, '\n');
}

/* A term or name: every character means itself, and a hyphen can be copied as one. */
static void put_roff_word(struct buf *b, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '-' || *text == '\\')
            buf_put_cstr(b, *text == '-' ? "\\-" : "\\e");
        else
            buf_put_char(b, *text);
    }
}

/* help and manpage are for the program itself. */
static bool has_page(const struct command *c)
{
    return c->run != command_help && c->run != command_manpage;
}

static void man_flags(struct buf *b, uint64_t flags)
{
    buf_put_cstr(b, ".SH OPTIONS\n");
    for (unsigned i = 0; i < FLAGS; i++) {
        const struct flag_row *f = &flag_rows[i];
        if ((flags & FLAG_BIT(i)) == 0 && i != FLAG_HELP)
            continue;
        buf_put_cstr(b, ".TP\n");
        if (f->letter != 0)
            buf_printf(b, "\\fB\\-%c\\fR, ", f->letter);
        buf_put_cstr(b, "\\fB\\-\\-");
        put_roff_word(b, f->name);
        buf_put_cstr(b, "\\fR");
        if (f->value != NULL)
            buf_printf(b, " \\fI%s\\fR", f->value);
        buf_put_char(b, '\n');
        put_roff(b, f->doc);
    }
}

static void man_head(struct buf *b, const char *name, int section, const char *summary)
{
    buf_put_cstr(
        b,
        ".\\\" Written by `llm-router manpage` from the tables of the program; do not edit.\n.TH ");
    for (const char *c = name; *c != '\0'; c++)
        buf_put_char(b, (char)toupper((unsigned char)*c));
    buf_printf(b, " %d " MANUAL_DATE " \"llm-router %s\"\n.SH NAME\n", section, LLM_ROUTER_VERSION);
    put_roff_word(b, name);
    buf_printf(b, " \\- ");
    put_roff(b, summary);
}

static void man_term(struct buf *b, const char *term, const char *doc)
{
    buf_put_cstr(b, ".TP\n\\fB");
    put_roff_word(b, term);
    buf_put_cstr(b, "\\fR\n");
    put_roff(b, doc);
}

static void man_status(struct buf *b)
{
    buf_put_cstr(b, ".SH \"EXIT STATUS\"\n");
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        char number[12];
        snprintf(number, sizeof number, "%d", statuses[i].status);
        man_term(b, number, statuses[i].doc);
    }
}

static void man_environment(struct buf *b)
{
    buf_put_cstr(b, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        man_term(b, variables[i].name, variables[i].doc);
}

/* Every page but `self`, which may be NULL. */
static void man_see_also(struct buf *b, const struct command *self, bool main_page)
{
    buf_put_cstr(b, ".SH \"SEE ALSO\"\n");
    if (!main_page)
        buf_put_cstr(b, ".BR llm\\-router (1),\n");
    for (size_t i = 0; i < n_commands; i++)
        if (&commands[i] != self && has_page(&commands[i]))
            buf_printf(b, ".BR llm\\-router\\-%s (1),\n", commands[i].name);
    buf_put_cstr(b, ".BR llm\\-router.yaml (5)\n");
}

static void manual_of_file(struct buf *b)
{
    man_head(b, "llm-router.yaml", 5, "configuration of llm-router");
    buf_put_cstr(
        b, ".SH DESCRIPTION\nOne YAML file. Every option has a default;\n"
           ".B llm\\-router check \\-\\-sample\nprints a file with all of them.\n.SH OPTIONS\n");
    b->failed = !config_manual(b) || b->failed;
    buf_put_cstr(b, ".SH ENVIRONMENT\n");
    b->failed = !config_manual_environment(b) || b->failed;
    buf_put_cstr(b, ".SH \"SEE ALSO\"\n.BR llm\\-router (1),\n.BR llm\\-router\\-check (1)\n");
}

static void manual_of_command(const struct command *c, struct buf *b)
{
    char name[64];
    snprintf(name, sizeof name, "llm-router-%s", c->name);
    man_head(b, name, 1, c->summary);
    buf_printf(b, ".SH SYNOPSIS\n.B llm\\-router %s\n.RI [ flags ]\n", c->name);
    if (c->usage[0] != '\0')
        put_roff(b, c->usage);
    buf_put_cstr(b, ".SH DESCRIPTION\n");
    put_roff(b, c->doc[0] != '\0' ? c->doc : c->summary);
    man_flags(b, c->flags);
    man_status(b);
    man_see_also(b, c, false);
}

static void manual_of_program(struct buf *b)
{
    man_head(b, "llm-router", 1,
             "route language model requests, private ones to local models only");
    buf_put_cstr(b, ".SH SYNOPSIS\n.B llm\\-router\n.I COMMAND\n.RI [ flags ]\n.SH DESCRIPTION\n");
    put_roff(b, about);
    buf_put_cstr(b, ".SH COMMANDS\n");
    for (size_t i = 0; i < n_commands; i++) {
        const struct command *c = &commands[i];
        buf_printf(b, ".TP\n\\fB%s\\fR%s", c->name, c->usage[0] != '\0' ? " " : "");
        put_roff(b, c->usage);
        put_roff(b, c->summary);
    }
    buf_put_cstr(b, ".SH ROUTES\n");
    for (size_t i = 0; i < app_n_routes; i++) {
        char term[160];
        snprintf(term, sizeof term, "%s %s", http_method_name(app_routes[i].method),
                 app_routes[i].path);
        man_term(b, term, app_routes[i].doc);
    }
    man_status(b);
    man_environment(b);
    buf_put_cstr(b, ".SH FILES\n");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        man_term(b, files[i].name, files[i].doc);
    man_see_also(b, NULL, true);
}

bool command_manual(const char *name, struct buf *b)
{
    const struct command *c = name != NULL ? find_command(name) : NULL;
    if (name == NULL || strcmp(name, "llm-router") == 0)
        manual_of_program(b);
    else if (strcmp(name, "llm-router.yaml") == 0)
        manual_of_file(b);
    else if (c != NULL)
        manual_of_command(c, b);
    return !b->failed && buf_len(b) > 0;
}

int command_manpage(struct cli *cli)
{
    struct buf b;
    buf_init(&b, (size_t)1 << 20);
    bool ok = command_manual(cli->n_words > 0 ? cli->words[0] : NULL, &b);
    if (ok)
        return term_write(&b) ? EXIT_OK : EXIT_FAILED;
    term_error(b.failed ? "out of memory" : "there is no such page");
    bool failed = b.failed;
    buf_fini(&b);
    return failed ? EXIT_FAILED : EXIT_USAGE;
}

/* ---- the command line ---- */

static int find_flag(const struct command *c, const char *arg, const char **value)
{
    *value = NULL;
    for (unsigned i = 0; i < FLAGS; i++) {
        const struct flag_row *f = &flag_rows[i];
        size_t n = strlen(f->name);
        if ((c->flags & FLAG_BIT(i)) == 0 && i != FLAG_HELP)
            continue;
        if (arg[1] != '-') {
            if (arg[1] == f->letter && (arg[2] == '\0' || f->value != NULL)) {
                *value = arg[2] != '\0' ? arg + 2 : NULL;
                return (int)i;
            }
        } else if (strncmp(arg + 2, f->name, n) == 0 && (arg[2 + n] == '\0' || arg[2 + n] == '=')) {
            *value = arg[2 + n] == '=' ? arg + 3 + n : NULL;
            return (int)i;
        }
    }
    return -1;
}

static int bad_argument(const struct command *c, const char *what, const char *arg)
{
    term_error("%s: %s \"%s\"; see llm-router %s --help", c->name, what, arg, c->name);
    return EXIT_USAGE;
}

int command_usage_error(const struct cli *cli)
{
    const struct command *c = cli->command;
    fprintf(stderr, "usage: llm-router %s [flags]%s%s\n", c->name, c->usage[0] != '\0' ? " " : "",
            c->usage);
    return EXIT_USAGE;
}

static int take_flag(struct cli *cli, int flag, const char *value)
{
    cli->flags[flag] = value;
    if (flag != FLAG_SET)
        return EXIT_OK;
    if (cli->n_set + 1 == sizeof cli->set / sizeof *cli->set)
        return bad_argument(cli->command, "too many of", "--set");
    cli->set[cli->n_set++] = value;
    return EXIT_OK;
}

int command_parse(struct cli *cli, int argc, char **argv, const char **words)
{
    const struct command *c = cli->command;
    bool only_words = false;
    cli->words = words;
    for (int i = 0; i < argc; i++) {
        const char *value;
        if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
            words[cli->n_words++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        int flag = find_flag(c, argv[i], &value);
        if (flag < 0)
            return bad_argument(c, "unknown flag", argv[i]);
        if (flag_rows[flag].value == NULL) {
            if (value != NULL)
                return bad_argument(c, "this flag takes no value:", argv[i]);
            value = "";
        } else if (value == NULL) {
            if (i + 1 == argc)
                return bad_argument(c, "a value is missing after", argv[i]);
            value = argv[++i];
        }
        int status = take_flag(cli, flag, value);
        if (status != EXIT_OK)
            return status;
    }
    if (cli->flags[FLAG_HELP] == NULL &&
        (cli->n_words < c->words_min || cli->n_words > c->words_max))
        return command_usage_error(cli);
    return EXIT_OK;
}

struct config *command_config(struct cli *cli)
{
    struct err err = ERR_INIT;
    struct config *config = config_load(&cli->source, &err);
    if (config == NULL)
        term_error("%s", err.text);
    return config;
}

void command_warnings(const struct config *config)
{
    for (const struct config_warning *w = config->warnings; w != NULL; w = w->next)
        term_warn(w->text);
}

int command_main(int argc, char **argv)
{
    const char *words[256];
    struct cli cli = {0};
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none); /* keys and prompts are in memory: no core dumps */
    if (argc < 2) {
        help_all(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    else if (strcmp(name, "--version") == 0)
        name = "version";
    cli.command = find_command(name);
    if (cli.command == NULL) {
        term_error("there is no command \"%s\"; see llm-router help", name);
        return EXIT_USAGE;
    }
    if (argc - 2 > (int)(sizeof words / sizeof *words))
        return bad_argument(cli.command, "too many words after", name);
    int status = command_parse(&cli, argc - 2, argv + 2, words);
    if (status != EXIT_OK)
        return status;
    if (cli.flags[FLAG_HELP] != NULL) {
        help_command(stdout, cli.command);
        return EXIT_OK;
    }
    const char *no_color = getenv("NO_COLOR");
    cli.color = isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0');
    cli.source = (struct config_source){
        .path = cli.flags[FLAG_CONFIG],
        .environment = (const char *const *)environ,
        .set = cli.set,
    };
    status = cli.command->run(&cli);
    provider_cells_free();
    return status;
}
