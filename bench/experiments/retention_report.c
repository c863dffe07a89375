/* retention_report.c: see retention_report.h. */
#include "retention_report.h"

#include "options.h"

#include <inttypes.h>
#include <stdio.h>

const char *const np_report_orders[] = { "forward", "reverse", "random", NULL };
const char *const np_report_tables[] = { "mmap", "malloc", NULL };

static double mib(uint64_t byte_count)
{
    return (double)byte_count / (1024.0 * 1024.0);
}

void np_report_text_head(const struct life_plan *plan, const struct life_report *report)
{
    printf("%.0f MiB in blocks of each size: allocated and filled, then freed in %s order",
           mib(plan->total_bytes), np_report_orders[plan->order]);
    if (plan->keep_one_in > 0)
        printf(", one in %zu kept", plan->keep_one_in);
    if (plan->pin_bytes > 0)
        printf(", %zu bytes taken at the peak and held", plan->pin_bytes);
    if (plan->thread_count > 1)
        printf(", by %u threads", plan->thread_count);
    printf("\nmalloc is that of %s\n", report->allocator);
    for (unsigned i = 0; i < plan->mallopt_count; i++) {
        const struct life_mallopt *said = &report->mallopts[i];
        const char *name = np_options_mallopt_name(said->param);
        if (name != NULL)
            printf("mallopt(%s, %d) = %d\n", name, said->value, said->answer);
        else
            printf("mallopt(%d, %d) = %d\n", said->param, said->value, said->answer);
    }
    printf("Resident memory in MiB: at the start, at the peak, after the last free, after the "
           "table of pointers\nis gone, after %g s of idleness, after malloc_trim. retained: "
           "(freed - start) / (peak - start).\n",
           plan->wait_seconds);
    printf("%7s %10s %7s %7s %7s %7s %7s %7s %9s %7s %7s\n", "bytes", "blocks", "start", "peak",
           "freed", "table", "wait", "trim", "retained", "fill s", "free s");
}

void np_report_text_row(const struct life_plan *plan, const struct life_report *report)
{
    double start = mib(report->start_rss_bytes);

    for (unsigned i = 0; i < plan->pass_count; i++) {
        const struct life_pass *pass = &report->passes[i];
        double peak = mib(pass->peak_rss_bytes);
        double freed = mib(pass->freed_rss_bytes);
        double share = peak > start ? (freed - start) / (peak - start) : 0;
        printf("%7zu %10" PRIu64 " %7.1f %7.1f %7.1f", plan->block_bytes, report->block_count,
               start, peak, freed);
        if (i + 1 < plan->pass_count)
            printf(" %7s %7s %7s", "-", "-", "-");
        else
            printf(" %7.1f %7.1f", mib(report->table_rss_bytes), mib(report->wait_rss_bytes));
        if (i + 1 == plan->pass_count && plan->is_trimmed)
            printf(" %7.1f", mib(report->trim_rss_bytes));
        else if (i + 1 == plan->pass_count)
            printf(" %7s", "-");
        printf(" %7.1f %% %7.2f %7.2f\n", 100 * share, pass->fill_seconds, pass->free_seconds);
        if (pass->failed_count > 0)
            printf("        %" PRIu64 " blocks could not be allocated\n", pass->failed_count);
    }
    if (plan->keep_one_in > 0)
        printf("        %" PRIu64 " blocks are kept, and lie on %.1f MiB of pages\n",
               report->kept_count, mib(report->kept_page_bytes));
    if (plan->mallopt_count > 0)
        printf("        mapped at the peak: %" PRIu64 " blocks, %.1f MiB (mallinfo2)\n",
               report->passes[0].mallinfo.mapped_count,
               mib(report->passes[0].mallinfo.mapped_bytes));
    fflush(stdout);
}

static void json_plan(struct json *json, const struct life_plan *plan,
                      const struct life_report *report)
{
    np_json_unsigned(json, "size_bytes", plan->block_bytes);
    np_json_unsigned(json, "total_bytes", plan->total_bytes);
    np_json_text(json, "order", np_report_orders[plan->order]);
    np_json_text(json, "table", np_report_tables[plan->table]);
    np_json_unsigned(json, "pin_bytes", plan->pin_bytes);
    np_json_unsigned(json, "sparse", plan->keep_one_in);
    np_json_unsigned(json, "threads", plan->thread_count);
    np_json_fraction(json, "wait_seconds", plan->wait_seconds);
    np_json_open_list(json, "mallopt");
    for (unsigned i = 0; i < plan->mallopt_count; i++) {
        const struct life_mallopt *said = &report->mallopts[i];
        const char *name = np_options_mallopt_name(said->param);
        np_json_open_object(json, NULL);
        np_json_signed(json, "param", said->param);
        if (name != NULL)
            np_json_text(json, "name", name);
        np_json_signed(json, "value", said->value);
        np_json_signed(json, "answer", said->answer);
        np_json_close_object(json);
    }
    np_json_close_list(json);
}

static void json_pass(struct json *json, const struct life_pass *pass)
{
    np_json_open_object(json, NULL);
    np_json_unsigned(json, "peak_rss_bytes", pass->peak_rss_bytes);
    np_json_unsigned(json, "freed_rss_bytes", pass->freed_rss_bytes);
    np_json_unsigned(json, "failed_count", pass->failed_count);
    np_json_fraction(json, "fill_seconds", pass->fill_seconds);
    np_json_fraction(json, "fill_cpu_seconds", pass->fill_cpu_seconds);
    np_json_fraction(json, "free_seconds", pass->free_seconds);
    np_json_fraction(json, "free_cpu_seconds", pass->free_cpu_seconds);
    np_json_open_object(json, "mallinfo2_at_peak");
    np_json_unsigned(json, "arena", pass->mallinfo.arena_bytes);
    np_json_unsigned(json, "uordblks", pass->mallinfo.in_use_bytes);
    np_json_unsigned(json, "hblks", pass->mallinfo.mapped_count);
    np_json_unsigned(json, "hblkhd", pass->mallinfo.mapped_bytes);
    np_json_close_object(json);
    np_json_close_object(json);
}

void np_report_json_life(struct json *json, const struct life_plan *plan,
                         const struct life_report *report)
{
    np_json_open_object(json, NULL);
    json_plan(json, plan, report);
    np_json_text(json, "allocator", report->allocator);
    np_json_unsigned(json, "block_count", report->block_count);
    np_json_unsigned(json, "table_bytes", report->table_bytes);
    np_json_unsigned(json, "start_rss_bytes", report->start_rss_bytes);
    np_json_open_list(json, "passes");
    for (unsigned i = 0; i < plan->pass_count; i++)
        json_pass(json, &report->passes[i]);
    np_json_close_list(json);
    np_json_unsigned(json, "table_rss_bytes", report->table_rss_bytes);
    np_json_unsigned(json, "wait_rss_bytes", report->wait_rss_bytes);
    if (plan->is_trimmed) {
        np_json_unsigned(json, "trim_rss_bytes", report->trim_rss_bytes);
        np_json_signed(json, "trim_answer", report->trim_answer);
    } else {
        np_json_literal(json, "trim_rss_bytes", "null");
        np_json_literal(json, "trim_answer", "null");
    }
    np_json_unsigned(json, "kept_count", report->kept_count);
    np_json_unsigned(json, "kept_page_bytes", report->kept_page_bytes);
    np_json_fraction(json, "retained_share", np_life_retained_share(report));
    np_json_close_object(json);
}

void np_report_text_probe(const struct threshold_probe *probe)
{
    printf("%7zu bytes: %5.1f %% stays resident after the last free\n", probe->block_bytes,
           100 * probe->retained_share);
    fflush(stdout);
}

static void text_outcome(const struct threshold_probe *probe)
{
    printf("%zu bytes %s (%.1f %%)", probe->block_bytes,
           np_threshold_is_retained(probe) ? "stay resident" : "are given back",
           100 * probe->retained_share);
}

void np_report_text_thresholds(const struct threshold_search *search)
{
    const struct threshold_probe *first = &search->probes[0];

    if (search->threshold_count == 0) {
        double lowest = first->retained_share;
        double highest = first->retained_share;
        for (unsigned i = 1; i < search->probe_count; i++) {
            double share = search->probes[i].retained_share;
            lowest = share < lowest ? share : lowest;
            highest = share > highest ? share : highest;
        }
        printf("No threshold: from %zu to %zu bytes all sizes %s (%.1f %% to %.1f %% stays).\n",
               first->block_bytes, search->probes[search->probe_count - 1].block_bytes,
               np_threshold_is_retained(first) ? "stay resident" : "are given back",
               100 * lowest, 100 * highest);
    }
    for (unsigned i = 0; i < search->threshold_count; i++) {
        printf("Threshold at %zu bytes: ", search->thresholds[i].below.block_bytes);
        text_outcome(&search->thresholds[i].below);
        printf(", ");
        text_outcome(&search->thresholds[i].above);
        printf(".\n");
    }
}

static void json_probe(struct json *json, const char *key, const struct threshold_probe *probe)
{
    np_json_open_object(json, key);
    np_json_unsigned(json, "size_bytes", probe->block_bytes);
    np_json_fraction(json, "retained_share", probe->retained_share);
    np_json_close_object(json);
}

void np_report_json_thresholds(struct json *json, const struct threshold_search *search)
{
    np_json_open_list(json, "thresholds");
    for (unsigned i = 0; i < search->threshold_count; i++) {
        np_json_open_object(json, NULL);
        np_json_unsigned(json, "threshold_bytes", search->thresholds[i].below.block_bytes);
        json_probe(json, "below", &search->thresholds[i].below);
        json_probe(json, "above", &search->thresholds[i].above);
        np_json_close_object(json);
    }
    np_json_close_list(json);
    np_json_open_list(json, "probes");
    for (unsigned i = 0; i < search->probe_count; i++)
        json_probe(json, NULL, &search->probes[i]);
    np_json_close_list(json);
}
