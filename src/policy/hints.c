/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hints - what a caller says beside the request: X-LLM-Mode, X-LLM-Sensitivity, X-LLM-Task. They tighten or
 * name; none of them takes back what another has said.
 */
#include "policy/internal.h"

const char *const policy_tasks[] = {
    "simple_query", "explanation", "documentation", "code_generation", "tool_calling",
    "multi_step",   NULL};

const char *task_find(strv task)
{
    for (size_t i = 0; policy_tasks[i] != NULL; i++)
        if (strv_eq_cstr(task, policy_tasks[i]))
            return policy_tasks[i];
    return NULL;
}

bool task_refuse(struct err *err)
{
    return err_field(err, LLM_ERR_INVALID_REQUEST, "X-LLM-Task",
                     "the task class must be one of simple_query, explanation, documentation, "
                     "code_generation, tool_calling, multi_step");
}

bool policy_mode_parse(strv text, enum llm_mode *out)
{
    static const struct {
        const char *name;
        enum llm_mode mode;
    } rows[] = {{"local", LLM_MODE_LOCAL}, {"hybrid", LLM_MODE_HYBRID}, {"cloud", LLM_MODE_CLOUD}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strv_eq_nocase(text, strv_of(rows[i].name))) {
            *out = rows[i].mode;
            return true;
        }
    return false;
}

bool policy_hints(struct llm_request *r, strv mode, strv sensitivity, strv task, struct err *err)
{
    enum llm_mode m;
    mode = strv_trim(mode);
    task = strv_trim(task);
    sensitivity = strv_trim(sensitivity);
    if (mode.len > 0) {
        if (!policy_mode_parse(mode, &m))
            return err_field(err, LLM_ERR_INVALID_REQUEST, "X-LLM-Mode",
                             "the mode must be local, hybrid or cloud");
        if (r->mode == LLM_MODE_UNSET || m < r->mode) /* two hints: the tighter one */
            r->mode = m;
    }
    if (sensitivity.len > 0 && !strv_eq_nocase(sensitivity, STRV("public")) &&
        !strv_eq_nocase(sensitivity, STRV("normal")))
        r->private_hint = true;
    if (task.len > 0) {
        /* The scheduler's schema has the verdict among the classes. A body that says it is not overruled by
         * a header that names another class. */
        if (strv_eq(r->task, STRV("privacy_sensitive")) || strv_eq(task, STRV("privacy_sensitive")))
            r->private_hint = true;
        if (strv_eq(task, STRV("privacy_sensitive")))
            return true;
        if (task_find(task) == NULL)
            return task_refuse(err);
        r->task = task;
    }
    return true;
}
