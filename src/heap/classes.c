/* The table of size classes. Sizes up to 256 bytes come every 16; fitted sizes are the largest multiple of 16 of
 * which that many fit in 4 KiB; where whole slots fill 4 KiB to the byte, packed and fitted are the same and
 * it says packed. A slab is two units where one would hold fewer than 8 slots. tests/unit/heap checks each
 * of these sentences. */
#include "classes.h"

#include "mxfast.h"

/* Where groups end: with slots of 64, 128, 512, 1024 bytes and each doubling from there. In 30 small programs, of whose
 * requests a record was made, these touch fewer pages than ends at each power of two, and than fewer groups: a large slot
 * for a small request fills the page soon. */
static const uint8_t group_tops[] = {3, 7, 22, 29, 37, 45, 53, NP_CLASS_COUNT - 1};

unsigned np_class_group_top(unsigned class_index)
{
    const uint8_t *top = group_tops;

    while (*top < class_index)
        top++;
    return *top;
}

uint16_t np_class_spare_bytes(unsigned class_index)
{
    unsigned first = class_index;

    if (class_index % 2 != 0 && np_class_group_top(class_index - 1) >= class_index)
        first--;
    return (uint16_t)(np_classes[class_index].slot_bytes -
                      (first == 0 ? 0 : np_classes[first - 1].slot_bytes + 1));
}

/* clang-format off */
const struct np_class np_classes[NP_CLASS_COUNT] = {
    /* bytes, a page, a slab, units */
    {   16,   0, 4096, 1},
    {   32,   0, 2048, 1},
    {   48,  85, 1360, 1},
    {   64,   0, 1024, 1},
    {   80,  51,  816, 1},
    {   96,  42,  672, 1},
    {  112,  36,  576, 1},
    {  128,   0,  512, 1},
    {  144,  28,  448, 1},
    {  160,  25,  400, 1},
    {  176,  23,  368, 1},
    {  192,  21,  336, 1},
    {  208,  19,  304, 1},
    {  224,  18,  288, 1},
    {  240,  17,  272, 1},
    {  256,   0,  256, 1},
    {  288,  14,  224, 1},
    {  304,  13,  208, 1},
    {  336,  12,  192, 1},
    {  368,  11,  176, 1},
    {  400,  10,  160, 1},
    {  448,   9,  144, 1},
    {  512,   0,  128, 1},
    {  576,   7,  112, 1},
    {  640,   0,  102, 1},
    {  672,   6,   96, 1},
    {  736,   0,   89, 1},
    {  816,   5,   80, 1},
    {  912,   0,   71, 1},
    { 1024,   0,   64, 1},
    { 1152,   0,   56, 1},
    { 1280,   0,   51, 1},
    { 1408,   0,   46, 1},
    { 1536,   0,   42, 1},
    { 1664,   0,   39, 1},
    { 1792,   0,   36, 1},
    { 1920,   0,   34, 1},
    { 2048,   0,   32, 1},
    { 2304,   0,   28, 1},
    { 2560,   0,   25, 1},
    { 2816,   0,   23, 1},
    { 3072,   0,   21, 1},
    { 3328,   0,   19, 1},
    { 3584,   0,   18, 1},
    { 3840,   0,   17, 1},
    { 4096,   0,   16, 1},
    { 4608,   0,   14, 1},
    { 5120,   0,   12, 1},
    { 5632,   0,   11, 1},
    { 6144,   0,   10, 1},
    { 6656,   0,    9, 1},
    { 7168,   0,    9, 1},
    { 7680,   0,    8, 1},
    { 8192,   0,    8, 1},
    { 9216,   0,   14, 2},
    {10240,   0,   12, 2},
    {11264,   0,   11, 2},
    {12288,   0,   10, 2},
    {13312,   0,    9, 2},
    {14336,   0,    9, 2},
    {15360,   0,    8, 2},
    {16384,   0,    8, 2},
};

const uint8_t np_class_by_granule[NP_DIRECT_COUNT] = {
     0,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 16, 17, 18, 18, 19, 19, 20, 20, 21, 21, 21, 22, 22, 22,
    22, 23, 23, 23, 23, 24, 24, 24, 24, 25, 25, 26, 26, 26, 26, 27,
    27, 27, 27, 27, 28, 28, 28, 28, 28, 28, 29, 29, 29, 29, 29, 29,
    29,
};
/* clang-format on */

NP_COLD bool np_mxfast_holds(unsigned class_index)
{
    return class_index == NP_TWIN_CLASS || class_index < np_mxfast_mixed_class();
}
