// A group of queries of additive attention against all keys: what forward and
// backward share. The scores of a group are held as a strip [S, L], so that
// memory is linear in S.
//
// Letters as in attention.h; L lanes of a group.
#pragma once

#include <algorithm>

#include "additive_attention.h"
#include "attention_tiles.h"
#include "dropout.h"

namespace attentive {

template <class T> struct AdditiveCall {
  AdditiveCall(const AttentionShape &sizes, const PlainInputs<T> &inputs,
               const AdditiveScore<T> &score, const AttentionOptions &options)
      : shape(sizes), q(one_head(inputs.query, sizes.queries, sizes.key_size)),
        k(one_head(inputs.key, sizes.keys, sizes.key_size)),
        v(one_head(inputs.value, sizes.keys, sizes.value_size)),
        ones(score.scale == nullptr ? sizes.key_size : 0, T(1)),
        scale(score.scale == nullptr ? ones.data() : score.scale), inside(score.inside),
        outside(score.outside), mask(options.mask), query_mask(options.mask.query),
        dropout(options.dropout, sizes) {
    mask.query = nullptr;
  }

  const AttentionShape &shape;
  HeadView<const T> q, k, v;
  Buffer<T> ones;
  const T *scale; // [K]
  T inside, outside;
  Mask mask; // of the scores: without that of the queries
  const std::uint8_t *query_mask;
  DropoutMask dropout;
  const Kernels<T> &kernels = attentive::kernels<T>();

  int lanes() const { return 2 * kernels.attention.lanes; }
  Index groups() const { return (shape.queries + lanes() - 1) / lanes(); }
  bool takes_part(Index n, Index t) const {
    return query_mask == nullptr || query_mask[n * shape.queries + t] != 0;
  }
};

// What one thread needs for the scores of a group.
template <class T> struct AdditiveScratch {
  AdditiveScratch(const AttentionShape &shape, int lanes)
      : q(checked_product(shape.key_size, lanes)), p(checked_product(shape.keys, lanes)),
        bits(shape.keys), kept(shape.keys) {}
  Buffer<T> q, p;                   // [K, L], [S, L]
  Buffer<std::uint32_t> bits, kept; // [S]: the lanes that see a key, that dropout leaves
};

template <class T> class AdditiveGroup {
public:
  // Queries of the group that take part, or all of them.
  AdditiveGroup(const AdditiveCall<T> &call, AdditiveScratch<T> &scratch, Index n, Index group,
                bool every_query)
      : call_(call), s_(scratch), n_(n) {
    const Index first = group * call.lanes();
    const Index last = std::min(first + call.lanes(), call.shape.queries);
    for (Index t = first; t < last; ++t)
      if (every_query || call.takes_part(n, t))
        queries_[count_++] = t;
  }

  // p = exp2(score - largest), factor = 1 / sum; false if no query sees a key.
  bool score() {
    if (count_ == 0 || !look())
      return false;
    const T *rows[kMaxGroup];
    for (int lane = 0; lane < count_; ++lane)
      rows[lane] = call_.q.row(n_, queries_[lane], 0);
    call_.kernels.attention.pack_rows(rows, count_, call_.shape.key_size, T(1), s_.q.data());
    const AdditiveTile<T> tile = additive_tile();
    T max[kMaxGroup], sums[kMaxGroup];
    call_.kernels.additive.scores(tile, max);
    call_.kernels.additive.exp_scores(tile, max, sums);
    for (int lane = 0; lane < call_.lanes(); ++lane)
      factor_[lane] = lane >= count_ || sums[lane] == T(0) ? T(0) : T(1) / sums[lane];
    return true;
  }

  // s_.kept: what dropout leaves.
  void draw_kept() {
    std::uint32_t queries[kMaxGroup] = {};
    for (int lane = 0; lane < count_; ++lane)
      queries[lane] = static_cast<std::uint32_t>(queries_[lane]);
    call_.kernels.dropout.keep_bits(call_.dropout.head(n_, 0), queries, count_, begin(), end(),
                                    s_.kept.data() + begin());
  }

  int count() const { return count_; }
  Index query(int lane) const { return queries_[lane]; }
  Index begin() const { return range_.begin; } // keys that any of them may see
  Index end() const { return range_.end; }
  int vectors() const { return count_ > call_.kernels.attention.lanes ? 2 : 1; }
  T *factor() { return factor_; } // [L]; 0 where a query sees nothing
  const std::uint32_t *bits() const { return all_ ? nullptr : s_.bits.data(); }
  bool sees(int lane, Index s) const {
    return s >= begin() && s < end() && (all_ || (s_.bits[s] >> lane & 1u) != 0);
  }

  AdditiveTile<T> additive_tile() const {
    AdditiveTile<T> tile;
    tile.q = s_.q.data();
    tile.k = call_.k.row(n_, 0, 0);
    tile.k_stride = call_.k.token_stride;
    tile.key_size = call_.shape.key_size;
    tile.scale = call_.scale;
    tile.inside = static_cast<T>(2 * kLog2E * static_cast<double>(call_.inside));
    tile.outside = static_cast<T>(2 * kLog2E * static_cast<double>(call_.outside));
    tile.begin = begin();
    tile.end = end();
    tile.bits = bits();
    tile.p = s_.p.data();
    tile.vectors = vectors();
    return tile;
  }

private:
  bool look() {
    range_ = call_.mask.key_range(queries_[0], queries_[count_ - 1]);
    if (range_.begin >= range_.end)
      return false;
    const Mask::View view = call_.mask.view(n_, 0, queries_, count_, range_.begin, range_.end,
                                            s_.bits.data() + range_.begin);
    all_ = view == Mask::View::all;
    return view != Mask::View::none;
  }

  const AdditiveCall<T> &call_;
  AdditiveScratch<T> &s_;
  const Index n_;
  int count_ = 0;
  Index queries_[kMaxGroup];
  Mask::KeyRange range_{0, 0};
  bool all_ = false; // every query sees all of the range
  T factor_[kMaxGroup];
};

} // namespace attentive
