/* The reporting half of the public interface: the shapes of the answers, glibc's and our own. */
#ifndef NP_ENTRY_INFO_H
#define NP_ENTRY_INFO_H

#include <stdio.h>

#include "neap/neap.h"

struct neap_mallinfo2 np_info_mallinfo2(void);
struct neap_mallinfo np_info_mallinfo(void);
void np_info_write_stats(void);
int np_info_write_xml(int options, FILE *stream);
void np_info_write_table(FILE *stream);
int np_info_stats(struct neap_stats *stats, size_t size_bytes);
int np_info_stats_arena(unsigned index, struct neap_stats *stats, size_t size_bytes);

#endif
