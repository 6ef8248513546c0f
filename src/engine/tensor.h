// Sizes and memory of the engine: checked index arithmetic and an owning,
// aligned buffer. Everything is row-major, the last axis contiguous.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

#include "memory.h"

namespace attentive {

using Index = std::ptrdiff_t;

// a * b for sizes, or std::length_error where the result does not fit.
inline Index checked_product(Index a, Index b) {
  if (a < 0 || b < 0)
    throw std::length_error("a size is negative");
  if (b != 0 && a > std::numeric_limits<Index>::max() / b)
    throw std::length_error("a size does not fit into the address space");
  return a * b;
}

inline Index checked_product(std::initializer_list<Index> sizes) {
  Index total = 1;
  for (Index size : sizes)
    total = checked_product(total, size);
  return total;
}

// Owning memory for `size` numbers, 64-byte aligned, not initialised. Moves,
// never copies. The padding at the end makes a whole vector readable.
template <class T> class Buffer {
public:
  static constexpr std::size_t kAlignment = 64;

  Buffer() = default;
  explicit Buffer(Index size) : size_(size) {
    if (size == 0)
      return;
    const Index bytes = checked_product(size, sizeof(T));
    // Aligned by hand: aligned_alloc is missing on Windows.
    block_ = take_block(static_cast<std::size_t>(bytes) + 2 * kAlignment);
    const auto address = reinterpret_cast<std::uintptr_t>(block_.address);
    data_ = reinterpret_cast<T *>((address + kAlignment - 1) & ~(kAlignment - 1));
  }
  Buffer(Index size, T value) : Buffer(size) {
    for (Index i = 0; i < size_; ++i)
      data_[i] = value;
  }
  Buffer(Buffer &&other) noexcept { swap(other); }
  Buffer &operator=(Buffer &&other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { give_back(block_); }

  T *data() { return data_; }
  const T *data() const { return data_; }
  Index size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T &operator[](Index i) { return data_[i]; }
  const T &operator[](Index i) const { return data_[i]; }

private:
  void swap(Buffer &other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  MemoryBlock block_;
  T *data_ = nullptr;
  Index size_ = 0;
};

// Makes the buffer this size; its memory stays where it has it already.
template <class T> T *fit(Buffer<T> &buffer, Index size) {
  if (buffer.size() != size)
    buffer = Buffer<T>(size);
  return buffer.data();
}

} // namespace attentive
