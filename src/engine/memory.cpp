#include "memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace attentive {
namespace {

// Smaller blocks are malloc's business: it reuses their pages by itself.
constexpr std::size_t kSmallest = std::size_t(128) << 10;

// A sanitizer sees the use of a freed block only if it is really freed.
#if defined(__SANITIZE_ADDRESS__)
constexpr int kSlots = 0;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr int kSlots = 0;
#else
constexpr int kSlots = 32;
#endif
#else
constexpr int kSlots = 32;
#endif

// The kept blocks, the one given back last in front. Never destroyed by itself:
// see shutdown_threads(). R forks only between two calls of the engine, so the
// lock is free in a child.
struct Store {
  std::mutex mutex;
  MemoryBlock blocks[kSlots + 1];
  int count = 0;
  std::size_t bytes = 0;

  MemoryBlock remove(int at) {
    const MemoryBlock block = blocks[at];
    std::copy(blocks + at + 1, blocks + count, blocks + at);
    --count;
    bytes -= block.bytes;
    return block;
  }
};
Store store;

// Smaller memory does not fill enough large pages to be worth a system call.
constexpr std::size_t kSmallestLarge = std::size_t(8) << 20;

} // namespace

void prefer_large_pages(void *address, std::size_t bytes) noexcept {
#if defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t kPage = 4096;
  if (bytes < kSmallestLarge)
    return;
  const auto begin = reinterpret_cast<std::uintptr_t>(address);
  const std::uintptr_t first = (begin + kPage - 1) & ~(kPage - 1),
                       last = (begin + bytes) & ~(kPage - 1);
  madvise(reinterpret_cast<void *>(first), last - first, MADV_HUGEPAGE); // advice: may fail
#else
  (void)address;
  (void)bytes;
#endif
}

MemoryBlock take_block(std::size_t bytes) {
  if (bytes >= kSmallest) {
    const std::lock_guard<std::mutex> lock(store.mutex);
    int best = -1;
    for (int i = 0; i < store.count; ++i) {
      const std::size_t size = store.blocks[i].bytes;
      if (size >= bytes && size - bytes <= bytes / 4 &&
          (best < 0 || size < store.blocks[best].bytes))
        best = i;
    }
    if (best >= 0)
      return store.remove(best);
  }
  void *address = std::malloc(bytes);
  if (address == nullptr) {
    release_kept_memory();
    address = std::malloc(bytes);
  }
  if (address == nullptr)
    throw std::bad_alloc();
  prefer_large_pages(address, bytes);
  return {address, bytes};
}

void give_back(MemoryBlock block) noexcept {
  if (kSlots == 0 || block.bytes < kSmallest || block.bytes > kMostKeptBytes)
    return std::free(block.address);
  const std::lock_guard<std::mutex> lock(store.mutex);
  while (store.count == kSlots || store.bytes + block.bytes > kMostKeptBytes)
    std::free(store.remove(store.count - 1).address);
  std::copy_backward(store.blocks, store.blocks + store.count, store.blocks + store.count + 1);
  store.blocks[0] = block;
  ++store.count;
  store.bytes += block.bytes;
}

std::size_t kept_bytes() {
  const std::lock_guard<std::mutex> lock(store.mutex);
  return store.bytes;
}

void release_kept_memory() {
  const std::lock_guard<std::mutex> lock(store.mutex);
  while (store.count > 0)
    std::free(store.remove(store.count - 1).address);
}

} // namespace attentive
