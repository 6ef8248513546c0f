// Which scores dropout keeps (Srivastava et al. 2014), with no memory: the
// decision for a pair of query and key is a pure function of the numbers in
// Dropout and of its position, so that forward and backward, the textbook and
// the tiles, any number of threads and any split of the batch agree.
//
// One block of Philox bits decides for one query and 8 keys from a multiple of
// 8 on, 16 bits each:
//   key      derive_key(seed, call)
//   counter  (s / 8, t, low word of r, high word of r)
//            with r = ((batch_offset + b) * F + f) * H + h
//   bits     half s % 2 (0: the low one) of word s % 8 / 2
// The pair is kept if those bits, as a number, are at least the threshold
// round(rate * 65536). What is kept is multiplied by 65536 / (65536 -
// threshold), the inverse of the share that really is kept: the mean is exact.
// It differs from 1 / (1 - rate) by at most 2^-17 / (1 - rate), relatively.
//
// A dropped weight is 0 and still multiplies its value: a NaN that the query
// may see stays visible. Only rate 1, where nothing is kept, gives plain zeros.
//
// Letters as in attention.h. t and s below 2^32.
#pragma once

#include <cmath>

#include "attention.h"
#include "random.h"

namespace attentive {

// The decisions for head h of element n.
struct DropoutHead {
  std::uint32_t key[2] = {0, 0};
  std::uint32_t row[2] = {0, 0}; // r, low word first
  std::uint32_t threshold = 0;   // 0: everything is kept; 65536: nothing

  bool keeps(Index t, Index s) const {
    const PhiloxCounter bits = philox4x32(
        {static_cast<std::uint32_t>(s / 8), static_cast<std::uint32_t>(t), row[0], row[1]},
        {key[0], key[1]});
    return (bits[s % 8 / 2] >> (s % 2 * 16) & 0xffffu) >= threshold;
  }
};

class DropoutMask {
public:
  DropoutMask(const Dropout &dropout, const AttentionShape &shape)
      : key_(derive_key(dropout.seed, dropout.call)),
        first_element_(static_cast<std::uint64_t>(dropout.batch_offset) *
                       static_cast<std::uint64_t>(shape.free)),
        heads_(static_cast<std::uint64_t>(shape.heads)) {
    if (!(dropout.rate >= 0 && dropout.rate <= 1))
      throw std::invalid_argument("a dropout rate is between 0 and 1");
    // A rate below 1 always keeps some.
    threshold_ = dropout.rate == 1 ? kAll
                                   : static_cast<std::uint32_t>(std::fmin(
                                         kAll - 1, std::floor(dropout.rate * kAll + 0.5)));
  }

  bool drops_none() const { return threshold_ == 0; }
  bool drops_all() const { return threshold_ == kAll; }

  // The factor of what is kept.
  double scale() const { return drops_all() ? 0.0 : double(kAll) / (kAll - threshold_); }

  DropoutHead head(Index n, Index h) const {
    const std::uint64_t r =
        (first_element_ + static_cast<std::uint64_t>(n)) * heads_ + static_cast<std::uint64_t>(h);
    DropoutHead head;
    head.key[0] = static_cast<std::uint32_t>(key_);
    head.key[1] = static_cast<std::uint32_t>(key_ >> 32);
    head.row[0] = static_cast<std::uint32_t>(r);
    head.row[1] = static_cast<std::uint32_t>(r >> 32);
    head.threshold = threshold_;
    return head;
  }

private:
  static constexpr std::uint32_t kAll = 65536;
  std::uint64_t key_, first_element_, heads_;
  std::uint32_t threshold_ = 0;
};

} // namespace attentive
