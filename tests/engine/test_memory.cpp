// Kept blocks: handed out again, never too many, never two owners.
#include "check.h"

#include "parallel.h"
#include "tensor.h"

#include <vector>

using namespace attentive;

namespace {

constexpr Index kMiB = Index(1) << 20;

void test_alignment_and_owners() {
  std::vector<Buffer<float>> held;
  for (int round = 0; round < 3; ++round) {
    for (Index size : {Index(1), Index(1000), kMiB / 8, kMiB, 5 * kMiB}) {
      held.emplace_back(size, static_cast<float>(held.size()));
      CHECK(reinterpret_cast<std::uintptr_t>(held.back().data()) % 64 == 0);
    }
    bool own = true;
    for (std::size_t i = 0; i < held.size(); ++i)
      for (Index j = 0; j < held[i].size(); j += 97)
        own = own && held[i][j] == static_cast<float>(i);
    CHECK(own);
    held.clear();
    CHECK(kept_bytes() <= kMostKeptBytes);
  }
}

void test_reuse() {
  release_kept_memory();
  CHECK(kept_bytes() == 0);
  const void *first = nullptr;
  {
    Buffer<char> block(kMiB);
    first = block.data();
  }
  const bool keeps = kept_bytes() > 0; // not under a sanitizer
  {
    Buffer<char> block(kMiB);
    CHECK(!keeps || block.data() == first);
    CHECK(kept_bytes() == 0);
  }
  {
    Buffer<char> small(kMiB / 2); // would waste half of the kept block
    CHECK(!keeps || small.data() != first);
  }
  release_kept_memory();
  CHECK(kept_bytes() == 0);
}

void test_bound() {
  for (int i = 1; i < 100; ++i) {
    std::vector<Buffer<char>> held;
    for (int j = 0; j < 5; ++j)
      held.emplace_back(i * kMiB);
    held.clear();
    CHECK(kept_bytes() <= kMostKeptBytes);
  }
  std::vector<Buffer<char>> many; // more than there are places
  for (int i = 0; i < 60; ++i)
    many.emplace_back(kMiB / 4);
  many.clear();
  CHECK(kept_bytes() <= kMostKeptBytes);
  release_kept_memory();
}

void test_threads() {
  std::vector<long> wrong(4, 0);
  parallel_for(400, {4, nullptr}, [&](Index task, int worker) {
    Buffer<Index> block(30000 + 1000 * (task % 7), task);
    for (Index i = 0; i < block.size(); i += 50)
      wrong[static_cast<std::size_t>(worker)] += block[i] != task;
  });
  for (long count : wrong)
    CHECK(count == 0);
}

} // namespace

int main() {
  test_alignment_and_owners();
  test_reuse();
  test_bound();
  test_threads();
  return attentive_test::finish("memory");
}
