/* SPDX-License-Identifier: Apache-2.0 */
/* list: order, and removing at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include <cmocka.h>

struct item {
    int n;
    struct list link;
};

static void order_is(struct list *head, const int *want, size_t n)
{
    struct list *pos, *tmp;
    size_t i = 0;
    list_for_each(pos, tmp, head)
    {
        assert_true(i < n);
        assert_int_equal(list_entry(pos, struct item, link)->n, want[i++]);
        assert_ptr_equal(pos->next->prev, pos);
    }
    assert_int_equal(i, n);
}

static void nodes_keep_their_order(void **state)
{
    (void)state;
    struct list head;
    struct item items[4];
    list_init(&head);
    assert_true(list_empty(&head));
    for (int i = 0; i < 4; i++) {
        items[i].n = i;
        if (i % 2 == 0)
            list_add_tail(&head, &items[i].link);
        else
            list_add_head(&head, &items[i].link);
    }
    order_is(&head, (int[]){3, 1, 0, 2}, 4);
    assert_int_equal(list_first(&head, struct item, link)->n, 3);
    list_del(&items[1].link);
    order_is(&head, (int[]){3, 0, 2}, 3);
}

static void deleting_twice_is_harmless(void **state)
{
    (void)state;
    struct list head;
    struct item item = {.n = 1};
    list_init(&head);
    list_init(&item.link);
    list_del(&item.link);
    list_add_tail(&head, &item.link);
    assert_false(list_empty(&head));
    list_del(&item.link);
    assert_true(list_empty(&head));
    assert_true(list_empty(&item.link));
    list_del(&item.link);
    assert_true(list_empty(&head));
}

static void the_current_node_may_go_inside_the_loop(void **state)
{
    (void)state;
    struct list head, *pos, *tmp;
    struct item items[5];
    list_init(&head);
    for (int i = 0; i < 5; i++) {
        items[i].n = i;
        list_add_tail(&head, &items[i].link);
    }
    list_for_each(pos, tmp, &head)
    {
        if (list_entry(pos, struct item, link)->n % 2 == 0)
            list_del(pos);
    }
    order_is(&head, (int[]){1, 3}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_keep_their_order),
        cmocka_unit_test(deleting_twice_is_harmless),
        cmocka_unit_test(the_current_node_may_go_inside_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
