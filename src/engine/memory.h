// Where Buffer takes its memory from. Large blocks that are given back are kept
// for the next call: a system hands out fresh memory page by page and zeroed,
// which can cost a tenth of a layer's time (measured: 0.4 ms a MiB).
#pragma once

#include <cstddef>

namespace attentive {

struct MemoryBlock {
  void *address = nullptr;
  std::size_t bytes = 0; // at least what was asked for
};

// At most this much is kept, whatever the sizes of the calls before.
constexpr std::size_t kMostKeptBytes = std::size_t(64) << 20;

// Asks the system to back fresh memory with large pages, where it knows such
// and the memory is large: it then arrives in steps of 2 MiB in place of 4 KiB
// (measured: 268 MB in 60 ms in place of 100). To be called before the first write.
void prefer_large_pages(void *address, std::size_t bytes) noexcept;

// Not initialised. Throws std::bad_alloc.
MemoryBlock take_block(std::size_t bytes);
void give_back(MemoryBlock block) noexcept;

std::size_t kept_bytes();
// Gives all that is kept back to the system.
void release_kept_memory();

} // namespace attentive
