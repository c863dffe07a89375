/* retention_report.h: what retention prints: a table for people, JSON for programs. */
#ifndef NP_EXPERIMENTS_RETENTION_REPORT_H
#define NP_EXPERIMENTS_RETENTION_REPORT_H

#include "json.h"
#include "life.h"
#include "threshold.h"

/* Above the rows; the report of the first life names the allocator. */
void np_report_text_head(const struct life_plan *plan, const struct life_report *report);
void np_report_text_row(const struct life_plan *plan, const struct life_report *report);

/* One element of the list of lives. */
void np_report_json_life(struct json *json, const struct life_plan *plan,
                         const struct life_report *report);

void np_report_text_probe(const struct threshold_probe *probe);
void np_report_text_thresholds(const struct threshold_search *search);
void np_report_json_thresholds(struct json *json, const struct threshold_search *search);

/* "forward", "mmap" and so on, ended by NULL: what the options take and the reports print. */
extern const char *const np_report_orders[];
extern const char *const np_report_tables[];

#endif
