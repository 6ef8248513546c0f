// The gradients of softmax attention, with P recomputed from the log-sum-exp
// (Dao et al. 2022), M dropout's mask with its factor and dC the gradient of
// the output:
//   dV = (P M)' dC
//   dS = P (M (dC V') + d_scores - delta),  delta = row sums of P dP
//   dQ = scale dS K,  dK = scale dS' Q
// delta = row sums of dC * C, as C = (P M) V, and of P * d_scores.
#include "backward_chunk.h"

#include <algorithm>
#include <cmath>

namespace attentive {

namespace {

// What a part of the keys may take in the memory of a thread.
constexpr Index kPartBytes = Index(2) << 20;
constexpr Index kMaxPartKeys = 2048;

// SSE vectors of doubles: 16 groups of 4.
constexpr int kMaxBackwardGroups = 16;

// exp2() of it is exactly 0, also after adding a score of 0.
constexpr double kNever = -1e30;

Index rounded_up(Index size, Index multiple) { return (size + multiple - 1) / multiple * multiple; }

template <class T> bool all_finite(const T *x, Index size) {
  T sums[8] = {}; // NaN as soon as one is not
  Index i = 0;
  for (; i + 8 <= size; i += 8)
    for (int j = 0; j < 8; ++j)
      sums[j] += x[i + j] * T(0);
  for (; i < size; ++i)
    sums[0] += x[i] * T(0);
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
             ((sums[2] + sums[6]) + (sums[3] + sums[7])) ==
         T(0);
}

// Rows of different tokens lie apart, where the processor does not look ahead.
template <class T> void fetch(const T *row, Index size) {
  constexpr Index kLine = 64 / sizeof(T);
  for (Index i = 0; i < size; i += kLine)
    __builtin_prefetch(row + i);
}

// A block of queries of one head, in groups of lanes: those that see anything.
template <class T> class BackwardBlock {
public:
  BackwardBlock(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n, Index h,
                Index block)
      : call_(call), s_(scratch), kernels_(call.kernels), lanes_(2 * kernels_.backward.lanes),
        k_stride_(rounded_up(call.shape.key_size, kernels_.backward.lanes)),
        v_stride_(rounded_up(call.shape.value_size, kernels_.backward.lanes)), n_(n), h_(h),
        head_(call.dropout.head(n, h)) {
    first_ = block * kBackwardQueries;
    last_ = std::min(first_ + kBackwardQueries, call.shape.queries);
    const std::uint8_t *mask = call.options.mask.query;
    for (Index t = first_; t < last_; ++t)
      if ((mask == nullptr || mask[n * call.shape.queries + t] != 0) &&
          call.lse[call.row(n, h, t)] != -std::numeric_limits<T>::infinity())
        queries_[count_++] = t;
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
    const auto scale = static_cast<T>(call_.options.scale);
    const auto scale2 = static_cast<T>(call_.options.scale * kLog2E);
    for (int i = 0; i < count_; ++i) {
      fetch(call_.q.row(n_, queries_[i], h_), shape.key_size);
      fetch(call_.d_out.row(n_, queries_[i], h_), shape.value_size);
      fetch(call_.out.row(n_, queries_[i], h_), shape.value_size);
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
      T *const q_rows = s_.q_rows + at * k_stride_, *const d_out_rows =
                                                        s_.d_out_rows + at * v_stride_;
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
      kernels_.backward.dot_pairs(d_out, out, count, shape.value_size, s_.delta + at);
    }
    load_offsets();
    std::fill_n(s_.d_q, groups_ * lanes_ * shape.key_size, T(0));
  }

  // Keys [first, last) of the part that begins at key `part`.
  void differentiate(Index part, Index first, Index last) {
    const int rows = kernels_.backward.rows, keys = static_cast<int>(last - first);
    const int padded = static_cast<int>(rounded_up(keys, rows));
    const bool careful = careful_ || s_.careful[(first - part) / kTileKeys] != 0;
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

  // Adds the row sums of scores * d_scores over keys [first, last), which the
  // part holds alone.
  void add_score_delta(Index first, Index last, T *score_delta) {
    const int keys = static_cast<int>(last - first);
    const int padded = static_cast<int>(rounded_up(keys, kernels_.backward.rows));
    std::fill_n(s_.delta, groups_ * lanes_, T(0));
    for (int g = 0; g < groups_; ++g) {
      look(g, first, last, padded, careful_ || s_.careful[0] != 0);
      if (views_[g].view == Mask::View::none)
        continue;
      BackwardTile<T> tile = tile_of(g, s_.k, s_.v);
      tile.value_size = 0; // d_s becomes p * d_scores
      tile.d_scores = load_d_scores(g, first, last);
      kernels_.backward.differentiate(tile);
      T sums[kMaxGroup] = {};
      for (int vector = 0; vector < 2; ++vector)
        for (int s = tile.begin[vector]; s < tile.end[vector]; ++s)
          for (int lane = vector * lanes_ / 2; lane < (vector + 1) * lanes_ / 2; ++lane)
            sums[lane] += tile.d_s[s * lanes_ + lane];
      for (int lane = 0; lane < group_count(g); ++lane)
        score_delta[call_.row(n_, h_, query(g, lane))] += sums[lane];
    }
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
  TileView views_[kMaxBackwardGroups];
  std::uint32_t kept_[kTileKeys];

  int group_count(int g) const { return std::min(lanes_, count_ - g * lanes_); }
  Index query(int g, int lane) const { return queries_[g * lanes_ + lane]; }

  void load_offsets() {
    for (int i = 0; i < groups_ * lanes_; ++i) {
      s_.delta[i] = i < count_ ? -s_.delta[i] : T(0);
      s_.offset[i] = static_cast<T>(kNever);
      if (i >= count_)
        continue;
      const Index row = call_.row(n_, h_, queries_[i]);
      s_.offset[i] = call_.lse[row] * static_cast<T>(-kLog2E);
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
    tile.d_scores = load_d_scores(g, first, last);
    kernels_.backward.differentiate(tile);
    add_queries(tile, s_.d_q + g * lanes_ * tile.key_size, careful);
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

  const T *load_d_scores(int g, Index first, Index last) {
    if (call_.d_scores == nullptr)
      return nullptr;
    const T *rows[kMaxGroup];
    for (int lane = 0; lane < group_count(g); ++lane)
      rows[lane] = call_.d_scores + call_.row(n_, h_, query(g, lane)) * call_.shape.keys + first;
    kernels_.attention.pack_rows(rows, group_count(g), last - first, T(1), s_.d_scores);
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

// Rows of keys, padded with zeros to whole vectors and whole `rows`.
template <class T>
void load_rows_of_keys(HeadView<const T> from, Index size, Index stride, Index n, Index g,
                       Index first, Index last, Index padded, T *to) {
  constexpr Index kAhead = 16;
  for (Index i = first; i < last; ++i, to += stride) {
    if (i + kAhead < last)
      fetch(from.row(n, i + kAhead, g), size);
    std::copy_n(from.row(n, i, g), size, to);
    std::fill(to + size, to + stride, T(0));
  }
  std::fill_n(to, (padded - (last - first)) * stride, T(0));
}

template <class T>
void load_keys(const BackwardCall<T> &call, BackwardScratch<T> &s, Index n, Index g, Index first,
               Index last) {
  const AttentionShape &shape = call.shape;
  const Index lanes = call.kernels.backward.lanes;
  const Index k_stride = rounded_up(shape.key_size, lanes);
  const Index v_stride = rounded_up(shape.value_size, lanes);
  const Index padded = rounded_up(last - first, call.kernels.backward.rows);
  load_rows_of_keys(call.k, shape.key_size, k_stride, n, g, first, last, padded, s.k);
  load_rows_of_keys(call.v, shape.value_size, v_stride, n, g, first, last, padded, s.v);
  for (Index i = 0; i < last - first; i += kTileKeys) {
    const Index size = std::min<Index>(kTileKeys, last - first - i);
    s.careful[static_cast<std::size_t>(i / kTileKeys)] =
        !all_finite(s.k + i * k_stride, size * k_stride) ||
        !all_finite(s.v + i * v_stride, size * v_stride);
  }
  std::fill_n(s.d_k, padded * k_stride, T(0));
  std::fill_n(s.d_v, padded * v_stride, T(0));
}

template <class T>
void store_keys(const BackwardCall<T> &call, const BackwardScratch<T> &s, Index n, Index g,
                Index first, Index last) {
  const AttentionShape &shape = call.shape;
  const Index lanes = call.kernels.backward.lanes;
  const T *d_k = s.d_k, *d_v = s.d_v;
  for (Index i = first; i < last; ++i) {
    std::copy_n(d_k, shape.key_size, call.d_k.row(n, i, g));
    std::copy_n(d_v, shape.value_size, call.d_v.row(n, i, g));
    d_k += rounded_up(shape.key_size, lanes);
    d_v += rounded_up(shape.value_size, lanes);
  }
}

// One block of queries against the loaded part of the keys.
template <class T>
void run_block(BackwardBlock<T> &block, Index part, Index part_end, bool add, HeadView<T> d_q) {
  const Mask::KeyRange seen = block.key_range();
  const Index skipped = std::max<Index>(0, seen.begin - part) / kTileKeys * kTileKeys;
  const Index begin = part + skipped, end = std::min(part_end, seen.end);
  if (begin >= end) {
    if (!add)
      block.clear(d_q);
    return;
  }
  block.load();
  for (Index s = begin; s < end; s += kTileKeys)
    block.differentiate(part, s, std::min(s + kTileKeys, part_end));
  block.store(add, d_q);
}

} // namespace

template <class T> Index backward_part_keys(const BackwardCall<T> &call) {
  const Index lanes = call.kernels.backward.lanes, keys = std::max<Index>(call.shape.keys, 1);
  const Index row =
      2 * Index(sizeof(T)) *
      (rounded_up(call.shape.key_size, lanes) + rounded_up(call.shape.value_size, lanes));
  const Index most = std::min(kMaxPartKeys, std::max<Index>(kPartBytes / row, kTileKeys));
  const Index parts = (keys + most - 1) / most; // of about the same length
  return parts == 1 ? keys : std::min(most, rounded_up((keys + parts - 1) / parts, kTileKeys));
}

template <class T> BackwardScratch<T>::BackwardScratch(const BackwardCall<T> &call) {
  const AttentionShape &shape = call.shape;
  const BackwardKernels<T> &kernels = call.kernels.backward;
  const Index keys = std::max<Index>(rounded_up(backward_part_keys(call), kernels.rows), kTileKeys);
  const Index k_size = rounded_up(shape.key_size, kernels.lanes);
  const Index v_size = rounded_up(shape.value_size, kernels.lanes);
  const Index group = 2 * kernels.lanes, scores = Index(kBackwardQueries) * kTileKeys;
  const struct {
    T **part;
    Index size;
  } parts[] = {{&k, keys * k_size},
               {&v, keys * v_size},
               {&d_k, keys * k_size},
               {&d_v, keys * v_size},
               {&q_rows, kBackwardQueries * k_size},
               {&d_out_rows, kBackwardQueries * v_size},
               {&q, kBackwardQueries * shape.key_size},
               {&d_out, kBackwardQueries * shape.value_size},
               {&d_q, kBackwardQueries * shape.key_size},
               {&offset, kBackwardQueries},
               {&delta, kBackwardQueries},
               {&p, scores},
               {&d_s, scores},
               {&d_scores, call.d_scores == nullptr ? 0 : group * kTileKeys},
               {&rows, group * shape.key_size}};
  constexpr Index kLine = Buffer<T>::kAlignment / sizeof(T);
  Index size = 0;
  for (const auto &part : parts)
    size += rounded_up(part.size, kLine);
  memory = Buffer<T>(size, T(0));
  T *at = memory.data();
  for (const auto &part : parts) {
    *part.part = at;
    at += rounded_up(part.size, kLine);
  }
  careful.resize(static_cast<std::size_t>(keys / kTileKeys + 1));
}

template <class T>
void backward_chunk(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n, Index g,
                    Index first, Index last, HeadView<T> d_q) {
  const AttentionShape &shape = call.shape;
  const Index share = shape.heads / shape.groups;
  const Index blocks = (shape.queries + kBackwardQueries - 1) / kBackwardQueries;
  const Index step = backward_part_keys(call);
  Index part = first;
  do { // once even where there is no key, so that d_q is cleared
    const Index part_end = std::min(part + step, last);
    load_keys(call, scratch, n, g, part, part_end);
    for (Index h = g * share; h < (g + 1) * share; ++h)
      for (Index b = 0; b < blocks; ++b) {
        BackwardBlock<T> block(call, scratch, n, h, b);
        run_block(block, part, part_end, part != first, d_q);
      }
    store_keys(call, scratch, n, g, part, part_end);
    part = part_end;
  } while (part < last);
}

template <class T>
void backward_score_delta(const BackwardCall<T> &call, BackwardScratch<T> &scratch, Index n,
                          Index h, Index b, T *score_delta) {
  const AttentionShape &shape = call.shape;
  BackwardBlock<T> block(call, scratch, n, h, b);
  const Mask::KeyRange seen = block.key_range();
  if (seen.begin >= seen.end)
    return;
  block.load();
  for (Index s = seen.begin; s < seen.end; s += kTileKeys) {
    const Index end = std::min<Index>(s + kTileKeys, seen.end);
    load_keys(call, scratch, n, h / (shape.heads / shape.groups), s, end);
    block.add_score_delta(s, end, score_delta);
  }
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template struct BackwardScratch<T>;                                                              \
  template Index backward_part_keys(const BackwardCall<T> &);                                      \
  template void backward_chunk(const BackwardCall<T> &, BackwardScratch<T> &, Index, Index, Index, \
                               Index, HeadView<T>);                                                \
  template void backward_score_delta(const BackwardCall<T> &, BackwardScratch<T> &, Index, Index,  \
                                     Index, T *);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
