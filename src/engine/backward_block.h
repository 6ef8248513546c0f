// The gradients of one block of queries against tiles of keys, P recomputed from
// the log-sum-exp (Dao et al. 2022). With M dropout's mask times its factor and
// dC the gradient of the output C = (P M) V:
//   dV = (P M)' dC
//   dS = P (M (dC V') + d_scores - delta)
//   dQ = scale dS K,  dK = scale dS' Q
// delta, the row sums of P times its gradient, are those of dC * C and of
// P * d_scores. A query that sees one key has P = 1 whatever its score, so that
// dS = 0: this is set, the difference of rounded numbers would be noise.
//
// Letters as in attention.h; L lanes of a group.
#pragma once

#include <algorithm>
#include <limits>

#include "backward_call.h"

namespace attentive {

// exp2() of it is exactly 0, also after adding a score of 0.
constexpr double kNever = -1e30;

// Groups of the shortest vectors, two doubles, that fill a block.
constexpr int kMaxBackwardGroups = kBackwardQueries / 4;

// A block of queries of one head, in groups of lanes: those that see anything.
template <class T> class BackwardBlock {
public:
  BackwardBlock(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n, Index h,
                Index block)
      : call_(call), s_(scratch), kernels_(call.kernels), lanes_(2 * kernels_.backward.lanes),
        k_stride_(scratch.k_stride), v_stride_(scratch.v_stride), n_(n), h_(h),
        head_(call.dropout.head(n, h)) {
    first_ = block * kBackwardQueries;
    last_ = std::min(first_ + kBackwardQueries, call.shape.queries);
    const std::uint8_t *mask = call.options.mask.query;
    for (Index t = first_; t < last_; ++t)
      if ((mask == nullptr || mask[n * call.shape.queries + t] != 0) &&
          call.lse[call.row(n, h, t)] != -std::numeric_limits<T>::infinity())
        queries_[count_++] = t;
    find_lone(call.options.mask);
    groups_ = (count_ + lanes_ - 1) / lanes_;
  }

  // The keys that any query can see.
  Mask::KeyRange key_range() const {
    if (count_ == 0)
      return {0, 0};
    return call_.options.mask.key_range(queries_[0], queries_[count_ - 1]);
  }

  // Fills what the tiles need.
  void load() {
    const AttentionShape &shape = call_.shape;
    const auto factor = static_cast<T>(call_.dropout.scale());
    const auto inverse = call_.dropout.drops_all() ? T(0) : T(1) / factor;
    const auto scale = static_cast<T>(call_.options.scale);
    const auto scale2 = static_cast<T>(call_.options.scale * kLog2E);
    for (int i = 0; i < count_; ++i) {
      fetch_row(call_.q.row(n_, queries_[i], h_), shape.key_size);
      fetch_row(call_.d_out.row(n_, queries_[i], h_), shape.value_size);
      fetch_row(call_.out.row(n_, queries_[i], h_), shape.value_size);
    }
    careful_ = false;
    for (int g = 0; g < groups_; ++g) {
      const Index at = Index(g) * lanes_;
      const int count = group_count(g);
      const T *q[kMaxGroup], *d_out[kMaxGroup], *out[kMaxGroup];
      for (int lane = 0; lane < count; ++lane) {
        q[lane] = call_.q.row(n_, query(g, lane), h_);
        d_out[lane] = call_.d_out.row(n_, query(g, lane), h_);
        out[lane] = call_.out.row(n_, query(g, lane), h_);
      }
      T *const q_rows = s_.q_rows + at * k_stride_;
      T *const d_out_rows = s_.d_out_rows + at * v_stride_;
      const bool finite =
          kernels_.backward.load_rows(q, count, shape.key_size, k_stride_, scale, q_rows) &
          kernels_.backward.load_rows(d_out, count, shape.value_size, v_stride_, factor,
                                      d_out_rows);
      careful_ = careful_ || !finite;
      std::fill(q_rows + count * k_stride_, q_rows + lanes_ * k_stride_, T(0));
      std::fill(d_out_rows + count * v_stride_, d_out_rows + lanes_ * v_stride_, T(0));
      kernels_.attention.pack_rows(q, count, shape.key_size, scale2, s_.q + at * shape.key_size);
      kernels_.attention.pack_rows(d_out, count, shape.value_size, factor,
                                   s_.d_out + at * shape.value_size);
      // Where one key has all the weight, out is its value: the difference from
      // delta is then 0, if both are summed alike.
      kernels_.attention.pack_rows(out, count, shape.value_size, inverse, s_.out);
      kernels_.backward.dot_columns(s_.d_out + at * shape.value_size, s_.out, shape.value_size,
                                    s_.delta + at);
    }
    load_offsets();
    std::fill_n(s_.d_q, groups_ * lanes_ * shape.key_size, T(0));
  }

  // Keys [first, last) of the part that begins at key `part`.
  void differentiate(Index part, Index first, Index last) {
    const int rows = kernels_.backward.rows, keys = static_cast<int>(last - first);
    const int padded = static_cast<int>(rounded_up(keys, rows));
    const bool careful =
        careful_ || s_.careful[static_cast<std::size_t>((first - part) / kTileKeys)] != 0;
    bool any = false;
    for (int g = 0; g < groups_; ++g) {
      look(g, first, last, padded, careful);
      any = any || views_[g].view != Mask::View::none;
    }
    if (!any)
      return;
    const T *k = s_.k + (first - part) * k_stride_, *v = s_.v + (first - part) * v_stride_;
    for (int g = 0; g < groups_; ++g)
      differentiate_group(g, first, last, padded, k, v, careful);
    T *d_k = s_.d_k + (first - part) * k_stride_, *d_v = s_.d_v + (first - part) * v_stride_;
    if (careful) {
      add_seen_rows(s_.p, s_.d_out_rows, v_stride_, keys, d_v);
      add_seen_rows(s_.d_s, s_.q_rows, k_stride_, keys, d_k);
    } else {
      add_rows(s_.p, s_.d_out_rows, v_stride_, padded, d_v);
      add_rows(s_.d_s, s_.q_rows, k_stride_, padded, d_k);
    }
  }

  // Adds the row sums of P * d_scores and of P over keys [first, last), which the
  // part holds alone, to score_delta and, by lane of the block, to weights.
  void add_score_delta(Index first, Index last, T *score_delta, T *weights) {
    const int keys = static_cast<int>(last - first);
    const int padded = static_cast<int>(rounded_up(keys, kernels_.backward.rows));
    std::fill_n(s_.delta, groups_ * lanes_, T(0));
    for (int g = 0; g < groups_; ++g) {
      look(g, first, last, padded, careful_ || s_.careful[0] != 0);
      if (views_[g].view == Mask::View::none)
        continue;
      BackwardTile<T> tile = tile_of(g, s_.k, s_.v);
      tile.value_size = 0; // d_s becomes p * d_scores
      tile.d_scores = load_d_scores(g, first, last, padded);
      kernels_.backward.differentiate(tile);
      T sums[kMaxGroup] = {}, totals[kMaxGroup] = {};
      for (int vector = 0; vector < 2; ++vector)
        for (int s = tile.begin[vector]; s < tile.end[vector]; ++s)
          for (int lane = vector * lanes_ / 2; lane < (vector + 1) * lanes_ / 2; ++lane) {
            sums[lane] += tile.d_s[s * lanes_ + lane];
            totals[lane] += tile.p[s * lanes_ + lane];
          }
      for (int lane = 0; lane < group_count(g); ++lane) {
        score_delta[call_.row(n_, h_, query(g, lane))] += sums[lane];
        weights[g * lanes_ + lane] += totals[lane];
      }
    }
  }

  // P from a large score is off by the rounding of that, and its row sum off from
  // 1 by as much; the mean under it is not.
  void divide_score_delta(const T *weights, T *score_delta) const {
    for (int i = 0; i < count_; ++i)
      if (weights[i] > T(0))
        score_delta[call_.row(n_, h_, queries_[i])] /= weights[i];
  }

  // d_q of the queries, written (then those that see nothing get 0) or added.
  void store(bool add, HeadView<T> d_q) {
    const Index size = call_.shape.key_size;
    if (!add && count_ < last_ - first_)
      clear(d_q);
    T factor[kMaxGroup], *rows[kMaxGroup];
    std::fill_n(factor, kMaxGroup, static_cast<T>(call_.options.scale));
    for (int g = 0; g < groups_; ++g) {
      for (int lane = 0; lane < group_count(g); ++lane)
        rows[lane] = add ? s_.rows + lane * size : d_q.row(n_, query(g, lane), h_);
      kernels_.attention.unpack_rows(s_.d_q + g * lanes_ * size, factor, size, group_count(g),
                                     rows);
      for (int lane = 0; add && lane < group_count(g); ++lane) {
        T *to = d_q.row(n_, query(g, lane), h_);
        for (Index j = 0; j < size; ++j)
          to[j] += rows[lane][j];
      }
    }
  }

  void clear(HeadView<T> d_q) const {
    for (Index t = first_; t < last_; ++t)
      std::fill_n(d_q.row(n_, t, h_), call_.shape.key_size, T(0));
  }

private:
  const BackwardCall<T> &call_;
  BackwardScratch<T> &s_;
  const Kernels<T> &kernels_;
  const int lanes_;
  const Index k_stride_, v_stride_, n_, h_;
  const DropoutHead head_;
  Index first_ = 0, last_ = 0;
  int count_ = 0, groups_ = 0;
  bool careful_ = false;
  Index queries_[kBackwardQueries];
  int lone_count_ = 0, lone_[kBackwardQueries]; // of queries_: those that see one key
  TileView views_[kMaxBackwardGroups];
  std::uint32_t kept_[kTileKeys];

  int group_count(int g) const { return std::min(lanes_, count_ - g * lanes_); }
  Index query(int g, int lane) const { return queries_[g * lanes_ + lane]; }

  void find_lone(const Mask &mask) {
    const bool alike = !mask.causal && mask.window == 0 && mask.dense == nullptr;
    bool lone = false;
    for (int i = 0; i < count_; ++i) {
      if (i == 0 || !alike)
        lone = mask.sees_one_key(n_, h_, queries_[i]);
      if (lone)
        lone_[lone_count_++] = i;
    }
  }

  void load_offsets() {
    for (int i = 0; i < groups_ * lanes_; ++i) {
      s_.delta[i] = i < count_ ? -s_.delta[i] : T(0);
      s_.offset[i] = static_cast<T>(kNever);
      if (i >= count_)
        continue;
      const Index row = call_.row(n_, h_, queries_[i]);
      s_.offset[i] = -call_.lse[row];
      if (call_.score_delta != nullptr)
        s_.delta[i] -= call_.score_delta[row];
    }
  }

  // Which lanes see which keys; in whole rows of the kernels.
  void look(int g, Index first, Index last, int padded, bool careful) {
    TileView &view = views_[g];
    const int keys = static_cast<int>(last - first), rows = kernels_.backward.rows;
    view.look(call_.options.mask, n_, h_, queries_ + g * lanes_, group_count(g),
              kernels_.backward.lanes, first, last);
    if (view.view == Mask::View::none)
      return;
    if (view.view == Mask::View::all && (padded > keys || careful)) {
      view.view = Mask::View::some;
      std::fill_n(view.bits, keys, view.seen);
    }
    std::fill_n(view.bits + keys, padded - keys, 0u);
    for (int vector = 0; vector < 2; ++vector) {
      view.begin[vector] -= view.begin[vector] % rows;
      view.end[vector] = static_cast<int>(rounded_up(view.end[vector], rows));
    }
  }

  // p and d_s of a group, and what they add to d_q.
  void differentiate_group(int g, Index first, Index last, int padded, const T *k, const T *v,
                           bool careful) {
    const TileView &view = views_[g];
    T *const p = s_.p + g * kTileKeys * lanes_, *const d_s = s_.d_s + g * kTileKeys * lanes_;
    const bool whole =
        view.begin[0] == 0 && view.begin[1] == 0 && view.end[0] == padded && view.end[1] == padded;
    if (view.view == Mask::View::none || !whole) {
      std::fill_n(p, padded * lanes_, T(0));
      std::fill_n(d_s, padded * lanes_, T(0));
    }
    if (view.view == Mask::View::none)
      return;
    BackwardTile<T> tile = tile_of(g, k, v);
    tile.kept = draw(g, first, last, padded);
    tile.d_scores = load_d_scores(g, first, last, padded);
    kernels_.backward.differentiate(tile);
    clear_lone(g, tile);
    add_queries(tile, s_.d_q + g * lanes_ * tile.key_size, careful);
  }

  // The scores of a query that sees one key do not matter; NaN stays.
  void clear_lone(int g, const BackwardTile<T> &tile) const {
    for (int i = 0; i < lone_count_; ++i) {
      const int lane = lone_[i] - g * lanes_;
      if (lane < 0 || lane >= lanes_)
        continue;
      const int vector = 2 * lane / lanes_;
      for (int s = tile.begin[vector]; s < tile.end[vector]; ++s)
        tile.d_s[s * lanes_ + lane] *= T(0);
    }
  }

  // Without dropout and d_scores.
  BackwardTile<T> tile_of(int g, const T *k, const T *v) const {
    const AttentionShape &shape = call_.shape;
    const TileView &view = views_[g];
    BackwardTile<T> tile;
    tile.q = s_.q + g * lanes_ * shape.key_size;
    tile.d_out = s_.d_out + g * lanes_ * shape.value_size;
    tile.k = k;
    tile.v = v;
    tile.k_stride = k_stride_;
    tile.v_stride = v_stride_;
    tile.key_size = shape.key_size;
    tile.value_size = shape.value_size;
    for (int vector = 0; vector < 2; ++vector) {
      tile.begin[vector] = view.begin[vector];
      tile.end[vector] = view.end[vector];
    }
    tile.seen = view.bits_or_null();
    tile.offset = s_.offset + g * lanes_;
    tile.delta = s_.delta + g * lanes_;
    tile.p = s_.p + g * kTileKeys * lanes_;
    tile.d_s = s_.d_s + g * kTileKeys * lanes_;
    return tile;
  }

  // d_q[K, L] += d_s' k: the product that the forward pass does with p and v.
  void add_queries(const BackwardTile<T> &tile, T *d_q, bool careful) const {
    AttentionTile<T> product;
    product.v = tile.k;
    product.v_stride = tile.k_stride;
    product.value_size = tile.key_size;
    product.bits = tile.seen;
    product.p = tile.d_s;
    product.o = d_q;
    for (int vector = 0; vector < 2; ++vector) {
      product.begin[vector] = tile.begin[vector];
      product.end[vector] = tile.end[vector];
    }
    if (careful)
      kernels_.attention.add_seen_values(product);
    else
      kernels_.attention.add_values(product);
  }

  const std::uint32_t *draw(int g, Index first, Index last, int padded) {
    if (call_.dropout.drops_none())
      return nullptr;
    std::uint32_t queries[kMaxGroup] = {};
    for (int lane = 0; lane < group_count(g); ++lane)
      queries[lane] = static_cast<std::uint32_t>(query(g, lane));
    kernels_.dropout.keep_bits(head_, queries, group_count(g), first, last, kept_);
    std::fill(kept_ + (last - first), kept_ + padded, 0u);
    return kept_;
  }

  const T *load_d_scores(int g, Index first, Index last, int padded) {
    if (call_.d_scores == nullptr)
      return nullptr;
    const T *rows[kMaxGroup];
    for (int lane = 0; lane < group_count(g); ++lane)
      rows[lane] = call_.d_scores + call_.row(n_, h_, query(g, lane)) * call_.shape.keys + first;
    kernels_.attention.pack_rows(rows, group_count(g), last - first, T(1), s_.d_scores);
    std::fill(s_.d_scores + (last - first) * lanes_, s_.d_scores + padded * lanes_, T(0));
    return s_.d_scores;
  }

  // to[key] += sum over queries of weights[key, query] * x[query], leaving out
  // the queries before the first and after the last that sees any of the keys.
  void add_rows(const T *weights, const T *x, Index size, int keys, T *to) const {
    const int rows = kernels_.backward.rows;
    WeightedRows<T> sum;
    sum.group = Index(kTileKeys) * lanes_;
    sum.x = x;
    sum.size = size;
    for (int s = 0; s < keys; s += rows) {
      see(s, s + rows, sum.begin, sum.end);
      sum.weights = weights + s * lanes_;
      sum.to = to + s * size;
      if (sum.begin < sum.end)
        kernels_.backward.add_weighted_rows(sum);
    }
  }

  void add_seen_rows(const T *weights, const T *x, Index size, int keys, T *to) const {
    WeightedRows<T> sum;
    sum.group = Index(kTileKeys) * lanes_;
    sum.x = x;
    sum.size = size;
    sum.end = count_;
    std::uint32_t seen[kMaxBackwardGroups];
    for (int s = 0; s < keys; ++s) {
      for (int g = 0; g < groups_; ++g)
        seen[g] = views_[g].view == Mask::View::none ? 0 : views_[g].bits[s];
      sum.weights = weights + s * lanes_;
      sum.to = to + s * size;
      kernels_.backward.add_seen_rows(sum, seen);
    }
  }

  // The lanes from `begin` to `end` hold all that see a key of [first, last).
  void see(int first, int last, int &begin, int &end) const {
    begin = end = 0;
    for (int g = 0; g < groups_; ++g) {
      std::uint32_t lanes = 0;
      if (views_[g].view == Mask::View::all)
        lanes = views_[g].seen;
      else if (views_[g].view == Mask::View::some)
        for (int s = first; s < last; ++s)
          lanes |= views_[g].bits[s];
      if (lanes == 0)
        continue;
      int low = 0, high = lanes_;
      while ((lanes >> low & 1u) == 0)
        ++low;
      while ((lanes >> (high - 1) & 1u) == 0)
        --high;
      if (end == 0)
        begin = g * lanes_ + low;
      end = g * lanes_ + high;
    }
  }
};

} // namespace attentive
