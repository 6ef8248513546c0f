#include "mask.h"

#include <algorithm>
#include <cstring>

namespace attentive {

namespace {

std::uint32_t lowest_bits(int count) {
  return count >= 32 ? ~std::uint32_t(0) : (std::uint32_t(1) << count) - 1;
}

// bits[i] = the lanes that causal and window leave to key begin + i. Queries
// increase with the lane, so for each key they are one run of lanes.
void band_bits(const Mask &mask, const Index *queries, int count, Index begin, Index end,
               std::uint32_t *bits) {
  // A window as wide as both lengths hides nothing; the smaller number cannot overflow.
  const Index window = std::min(mask.window, std::max(mask.queries, mask.keys));
  int from = 0, to = window > 0 ? 0 : count;
  for (Index s = begin; s < end; ++s) {
    const Index first = mask.causal ? s : window > 0 ? s - window + 1 : 0;
    while (from < count && queries[from] < first)
      ++from;
    while (window > 0 && to < count && queries[to] < s + window)
      ++to;
    bits[s - begin] = to > from ? lowest_bits(to) & ~lowest_bits(from) : 0;
  }
}

// Clears bit `lane` of bits[i] where row[i * stride] is 0.
void clear_lane(const std::uint8_t *row, Index stride, Index size, int lane, std::uint32_t *bits) {
  Index i = 0;
  if (stride == 1)
    for (; i + 8 <= size; i += 8) {
      std::uint64_t bytes;
      std::memcpy(&bytes, row + i, sizeof bytes);
      constexpr std::uint64_t kOnes = 0x0101010101010101u, kHigh = 0x8080808080808080u;
      if (((bytes - kOnes) & ~bytes & kHigh) == 0) // no byte is 0
        continue;
      for (Index j = i; j < i + 8; ++j)
        bits[j] &= ~(static_cast<std::uint32_t>(row[j] == 0) << lane);
    }
  for (; i < size; ++i)
    bits[i] &= ~(static_cast<std::uint32_t>(row[i * stride] == 0) << lane);
}

void clear_keys(const std::uint8_t *row, Index stride, Index size, std::uint32_t *bits) {
  for (Index i = 0; i < size; ++i)
    bits[i] &= -static_cast<std::uint32_t>(row[i * stride] != 0);
}

} // namespace

bool Mask::sees_one_key(Index n, Index h, Index t) const {
  const KeyRange range = key_range(t, t);
  if (dense == nullptr && key == nullptr && query == nullptr)
    return range.end - range.begin == 1;
  int seen = 0;
  for (Index s = range.begin; s < range.end && seen < 2; ++s)
    seen += may_attend(n, h, t, s);
  return seen == 1;
}

Mask::KeyRange Mask::key_range(Index first, Index last) const {
  KeyRange range{0, keys};
  if (window > 0 && window <= first)
    range.begin = std::min(first - window + 1, keys);
  if (causal)
    range.end = std::min(last + 1, keys);
  else if (window > 0 && window < keys - last)
    range.end = last + window;
  range.begin = std::min(range.begin, range.end);
  return range;
}

Mask::View Mask::view(Index n, Index h, const Index *group, int count, Index begin, Index end,
                      std::uint32_t *bits) const {
  const Index size = end - begin;
  const Index first = group[0], last = group[count - 1];
  const KeyRange range = key_range(first, last);
  if (range.end <= begin || end <= range.begin)
    return View::none;
  std::uint32_t lanes = lowest_bits(count);
  if (query != nullptr)
    for (int lane = 0; lane < count; ++lane)
      if (query[n * queries + group[lane]] == 0)
        lanes &= ~(std::uint32_t(1) << lane);

  // Whether all of the tile lies within the band of causal and window.
  const bool inside = (!causal || end - 1 <= first) &&
                      (window == 0 || (last - begin < window && end - 1 - first < window));
  if (inside && key == nullptr && dense == nullptr && lanes == lowest_bits(count))
    return View::all;

  if (inside)
    std::fill(bits, bits + size, lowest_bits(count));
  else
    band_bits(*this, group, count, begin, end, bits);
  if (key != nullptr)
    clear_keys(key + n * keys + begin, 1, size, bits);
  if (dense != nullptr) {
    const std::uint8_t *at = dense_at(n, h) + begin * dense_key;
    if (dense_query == 0)
      clear_keys(at, dense_key, size, bits);
    else
      for (int lane = 0; lane < count; ++lane)
        clear_lane(at + group[lane] * dense_query, dense_key, size, lane, bits);
  }

  std::uint32_t every = lanes, any = 0;
  for (Index i = 0; i < size; ++i) {
    bits[i] &= lanes;
    every &= bits[i];
    any |= bits[i];
  }
  if (any == 0)
    return View::none;
  return every == lowest_bits(count) ? View::all : View::some;
}

} // namespace attentive
