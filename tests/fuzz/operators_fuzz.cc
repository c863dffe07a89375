// Fuzz target: every form of operator new and delete, and new-handlers that free something, give up
// or throw, beside the shadow of the other targets.
#include "fuzz.h"
#include "neap/neap.h"
#include "operations.h"

#include <cstdint>
#include <new>

namespace {

constexpr std::size_t most_live_bytes = 40u << 20;

shadow live;
std::uint64_t contents;

// What a form of new and its delete have to agree on; kept in the lowest bit of the block's seed.
enum class shape { single, array };

shape shape_of(const shadow_block &block)
{
    return block.seed % 2 == 0 ? shape::single : shape::array;
}

// Thrown by a handler, so that it can be told from what neap throws.
struct out_of_patience {
};

struct {
    unsigned calls_left; // before it gives up
    bool throws;         // in the end, instead of leaving no handler
    void *reserve;       // freed at the first call
} handler_state;

void handler()
{
    ::operator delete(handler_state.reserve);
    handler_state.reserve = nullptr;
    if (handler_state.calls_left-- > 0)
        return;
    if (handler_state.throws)
        throw out_of_patience();
    std::set_new_handler(nullptr);
}

void *take(shape form, std::size_t size, std::size_t alignment, bool may_throw)
{
    std::align_val_t align{alignment};

    if (alignment == 0 && may_throw)
        return form == shape::single ? ::operator new(size) : ::operator new[](size);
    if (alignment == 0)
        return form == shape::single ? ::operator new(size, std::nothrow)
                                     : ::operator new[](size, std::nothrow);
    if (may_throw)
        return form == shape::single ? ::operator new(size, align) : ::operator new[](size, align);
    return form == shape::single ? ::operator new(size, align, std::nothrow)
                                 : ::operator new[](size, align, std::nothrow);
}

// The three forms of delete that fit: plain, sized, nothrow. Not as `is_single ? ... : ...`: clang
// 14 then calls both.
void give_single(const shadow_block &block, unsigned way)
{
    std::align_val_t align{block.alignment_bytes};
    bool is_plain = block.alignment_bytes == 0;

    if (way % 3 == 0 && is_plain)
        ::operator delete(block.start);
    else if (way % 3 == 0)
        ::operator delete(block.start, align);
    else if (way % 3 == 1 && is_plain)
        ::operator delete(block.start, block.size_bytes);
    else if (way % 3 == 1)
        ::operator delete(block.start, block.size_bytes, align);
    else if (is_plain)
        ::operator delete(block.start, std::nothrow);
    else
        ::operator delete(block.start, align, std::nothrow);
}

void give_array(const shadow_block &block, unsigned way)
{
    std::align_val_t align{block.alignment_bytes};
    bool is_plain = block.alignment_bytes == 0;

    if (way % 3 == 0 && is_plain)
        ::operator delete[](block.start);
    else if (way % 3 == 0)
        ::operator delete[](block.start, align);
    else if (way % 3 == 1 && is_plain)
        ::operator delete[](block.start, block.size_bytes);
    else if (way % 3 == 1)
        ::operator delete[](block.start, block.size_bytes, align);
    else if (is_plain)
        ::operator delete[](block.start, std::nothrow);
    else
        ::operator delete[](block.start, align, std::nothrow);
}

void give(const shadow_block &block, unsigned way)
{
    if (shape_of(block) == shape::single)
        give_single(block, way);
    else
        give_array(block, way);
}

bool may_take(std::size_t size)
{
    return live.live_count < SHADOW_MOST_LIVE && live.live_bytes + size <= most_live_bytes;
}

void do_new(const record &record)
{
    std::size_t size = record_size(&record);
    std::size_t alignment = record.option % 4 == 0 ? record_alignment(&record) : 0;
    unsigned repeat_count = record_repeat_count(&record);
    shape form = record.option / 4 % 2 == 0 ? shape::single : shape::array;

    for (unsigned i = 0; i < repeat_count && may_take(size); i++) {
        shadow_block block{};

        block.start = static_cast<unsigned char *>(
            take(form, size, alignment, record.option / 8 % 2 == 0));
        REQUIRE(block.start != nullptr);
        block.size_bytes = size;
        block.usable_bytes = neap_malloc_usable_size(block.start);
        block.alignment_bytes = alignment;
        block.seed = contents += 2;
        block.seed += form == shape::array;
        REQUIRE_SOUND(shadow_enter(&live, &block));
        if (alignment > 4096 && live.live_count > 64)
            return; // the padding is address space, too
    }
}

void delete_at(std::size_t place, unsigned way)
{
    shadow_block block;

    REQUIRE_SOUND(shadow_take_out(&live, place, &block));
    REQUIRE(neap_malloc_usable_size(block.start) == block.usable_bytes);
    give(block, way);
}

void do_delete(const record &record)
{
    unsigned repeat_count = record_repeat_count(&record);

    for (unsigned i = 0; i < repeat_count && live.live_count > 0; i++)
        delete_at(record_place(&record, &live), record.option);
}

void do_delete_null(const record &record)
{
    shadow_block nothing{};

    nothing.size_bytes = record_size(&record);
    nothing.seed = record.which;
    give(nothing, record.option);
    nothing.alignment_bytes = record_alignment(&record);
    give(nothing, record.option);
}

void set_handler(const record &record)
{
    handler_state.calls_left = record.option % 4;
    handler_state.throws = record.option / 4 % 2 == 1;
    if (handler_state.reserve == nullptr)
        handler_state.reserve = ::operator new(record_size(&record));
    std::set_new_handler(handler);
}

enum class outcome { null, bad_alloc, handlers_exception };

outcome try_impossible(const record &record)
{
    std::size_t size = SIZE_MAX / (1 + record.which % 2) - record.size_part;
    std::size_t alignment = record.option % 4 == 0 ? record_alignment(&record) : 0;
    shape form = record.option / 4 % 2 == 0 ? shape::single : shape::array;

    try {
        REQUIRE(take(form, size, alignment, record.option / 8 % 2 == 0) == nullptr);
        return outcome::null;
    } catch (const std::bad_alloc &) {
        return outcome::bad_alloc;
    } catch (const out_of_patience &) {
        return outcome::handlers_exception;
    }
}

// [new.delete.single]: the handler is called again and again; the form without noexcept passes on
// what it throws, the other never throws.
void do_impossible(const record &record)
{
    bool has_handler = std::get_new_handler() != nullptr;
    bool may_throw = record.option / 8 % 2 == 0;
    outcome expected = !may_throw                             ? outcome::null
                       : has_handler && handler_state.throws ? outcome::handlers_exception
                                                             : outcome::bad_alloc;

    REQUIRE(try_impossible(record) == expected);
    if (!has_handler)
        return;
    REQUIRE(handler_state.calls_left == ~0u && handler_state.reserve == nullptr);
    REQUIRE((std::get_new_handler() == nullptr) == !handler_state.throws);
    std::set_new_handler(nullptr);
}

void do_one(const record &record)
{
    switch (record.kind % 16) {
    case 0:
        set_handler(record);
        break;
    case 1:
    case 2:
        do_impossible(record);
        break;
    case 3:
        do_delete_null(record);
        break;
    case 4:
        neap_malloc_trim(0);
        break;
    default:
        if (record.kind % 16 < 10)
            do_new(record);
        else
            do_delete(record);
        break;
    }
}

// The fuzzer's own blocks are neap's here.
std::size_t blocks_in_all()
{
    struct neap_stats stats;

    REQUIRE(::neap_stats(&stats, sizeof(stats)) == 0);
    return static_cast<std::size_t>(stats.live_count);
}

} // namespace

bool target_may_fail()
{
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t byte_count)
{
    std::size_t blocks_before = blocks_in_all();

    contents = byte_count * 2;
    for (size_t i = 0; i < byte_count / RECORD_BYTES; i++)
        do_one(record_at(bytes, i));
    while (live.live_count > 0)
        delete_at(live.live_count - 1, static_cast<unsigned>(live.live_count));
    std::set_new_handler(nullptr);
    ::operator delete(handler_state.reserve);
    handler_state.reserve = nullptr;
    operations_settle(blocks_before);
    return 0;
}
