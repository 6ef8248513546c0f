// Additive attention, a group of queries at a time: their scores with all keys
// are held (memory linear in S), never those of all queries, and never the
// T x S x K terms of the sums.
#include "additive_attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "attention_tiles.h"

namespace attentive {
namespace {

// Below this many tanh a second thread costs more than it brings.
constexpr double kSerialTanh = 1e5;

template <class T> struct AdditiveCall {
  const AttentionShape &shape;
  HeadView<const T> q, k, v;
  const T *scale; // [K]
  T inside, outside;
  Mask mask; // of the scores: without that of the queries
  const std::uint8_t *query_mask;
  HeadView<T> out;
  const ScoreView &scores;
  const AttentionKernels<T> &attention;
  const AdditiveKernels<T> &additive;

  int lanes() const { return 2 * attention.lanes; }
  Index groups() const { return (shape.queries + lanes() - 1) / lanes(); }
};

// What one thread works in.
template <class T> struct AdditiveScratch {
  AdditiveScratch(const AttentionShape &shape, int lanes)
      : q(checked_product(shape.key_size, lanes)), p(checked_product(shape.keys, lanes)),
        o(checked_product(shape.value_size, lanes)), bits(shape.keys) {}
  Buffer<T> q, p, o; // [K, L], [S, L], [V, L]
  Buffer<std::uint32_t> bits; // [S]
};

// A group of queries of one element: those whose output or scores are wanted.
template <class T> class AdditiveGroup {
public:
  AdditiveGroup(const AdditiveCall<T> &call, AdditiveScratch<T> &scratch, Index n, Index group)
      : call_(call), s_(scratch), n_(n) {
    const Index first = group * call.lanes();
    const Index last = std::min(first + call.lanes(), call.shape.queries);
    for (Index t = first; t < last; ++t) {
      if (takes_part(t) || call.scores.data != nullptr)
        queries_[count_++] = t;
      else
        clear(t);
    }
  }

  void run() {
    if (count_ == 0)
      return;
    look();
    if (range_.begin < range_.end) {
      score();
      if (!combine(call_.attention.add_values)) // maybe only behind the mask
        combine(call_.attention.add_seen_values);
    }
    for (int lane = 0; lane < count_; ++lane)
      if (range_.begin >= range_.end || !takes_part(queries_[lane]))
        clear(queries_[lane]);
    if (call_.scores.data != nullptr)
      write_scores();
  }

private:
  const AdditiveCall<T> &call_;
  AdditiveScratch<T> &s_;
  const Index n_;
  int count_ = 0;
  Index queries_[kMaxGroup];
  Mask::KeyRange range_; // keys that any of them may see
  bool all_ = false;     // every query sees all of the range
  T factor_[kMaxGroup];  // 1 / sum, 0 where a query sees nothing

  bool takes_part(Index t) const {
    return call_.query_mask == nullptr || call_.query_mask[n_ * call_.shape.queries + t] != 0;
  }

  void clear(Index t) { std::fill_n(call_.out.row(n_, t, 0), call_.shape.value_size, T(0)); }

  void look() {
    range_ = call_.mask.key_range(queries_[0], queries_[count_ - 1]);
    if (range_.begin >= range_.end)
      return;
    const Mask::View view = call_.mask.view(n_, 0, queries_, count_, range_.begin, range_.end,
                                            s_.bits.data() + range_.begin);
    all_ = view == Mask::View::all;
    if (view == Mask::View::none)
      range_.end = range_.begin;
  }

  const std::uint32_t *bits() const { return all_ ? nullptr : s_.bits.data(); }
  bool sees(int lane, Index s) const {
    return s >= range_.begin && s < range_.end && (all_ || (s_.bits[s] >> lane & 1u) != 0);
  }

  // s_.p = exp2(score - largest), factor_ = 1 / sum
  void score() {
    const T *rows[kMaxGroup];
    for (int lane = 0; lane < count_; ++lane)
      rows[lane] = call_.q.row(n_, queries_[lane], 0);
    call_.attention.pack_rows(rows, count_, call_.shape.key_size, T(1), s_.q.data());

    AdditiveTile<T> tile;
    tile.q = s_.q.data();
    tile.k = call_.k.row(n_, 0, 0);
    tile.k_stride = call_.k.token_stride;
    tile.key_size = call_.shape.key_size;
    tile.scale = call_.scale;
    tile.inside = call_.inside;
    tile.outside = call_.outside;
    tile.begin = range_.begin;
    tile.end = range_.end;
    tile.bits = bits();
    tile.p = s_.p.data();
    tile.vectors = count_ > call_.attention.lanes ? 2 : 1;
    T max[kMaxGroup], sums[kMaxGroup];
    call_.additive.scores(tile, max);
    call_.additive.exp_scores(tile, max, sums);
    for (int lane = 0; lane < count_; ++lane)
      factor_[lane] = sums[lane] == T(0) ? T(0) : T(1) / sums[lane];
    std::fill(factor_ + count_, factor_ + call_.lanes(), T(0));
  }

  // The outputs; false if one is not finite.
  bool combine(void (*add)(const AttentionTile<T> &)) {
    std::fill_n(s_.o.data(), s_.o.size(), T(0));
    const int vectors = count_ > call_.attention.lanes ? 2 : 1;
    for (Index first = range_.begin; first < range_.end; first += kTileKeys) {
      AttentionTile<T> tile;
      tile.v = call_.v.row(n_, first, 0);
      tile.v_stride = call_.v.token_stride;
      tile.value_size = call_.shape.value_size;
      tile.bits = all_ ? nullptr : bits() + first;
      tile.p = s_.p.data() + first * call_.lanes();
      tile.o = s_.o.data();
      for (int vector = 0; vector < vectors; ++vector)
        tile.end[vector] = static_cast<int>(std::min<Index>(kTileKeys, range_.end - first));
      add(tile);
    }
    T *rows[kMaxGroup];
    for (int lane = 0; lane < count_; ++lane)
      rows[lane] = call_.out.row(n_, queries_[lane], 0);
    return call_.attention.unpack_rows(s_.o.data(), factor_, call_.shape.value_size, count_, rows);
  }

  void write_scores() {
    const ScoreView &to = call_.scores;
    double *const start =
        to.data + (n_ / call_.shape.free) * to.batch + (n_ % call_.shape.free) * to.free;
    for (Index s = 0; s < call_.shape.keys; ++s)
      for (int lane = 0; lane < count_; ++lane)
        start[queries_[lane] * to.query + s * to.key] =
            sees(lane, s) ? static_cast<double>(s_.p[s * call_.lanes() + lane] * factor_[lane])
                          : 0.0; // also where the factor is NaN
  }
};

} // namespace

template <class T>
void additive_attention_forward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                                const AdditiveScore<T> &score, const AttentionOptions &options,
                                T *output, const ScoreView &scores, const Execution &execution) {
  if (options.dropout.rate > 0)
    throw std::logic_error("dropout of additive attention is not there yet");
  const Buffer<T> ones(score.scale == nullptr ? shape.key_size : 0, T(1));
  Mask mask = options.mask;
  mask.query = nullptr;
  const AdditiveCall<T> call{shape,
                             one_head(inputs.query, shape.queries, shape.key_size),
                             one_head(inputs.key, shape.keys, shape.key_size),
                             one_head(inputs.value, shape.keys, shape.value_size),
                             score.scale == nullptr ? ones.data() : score.scale,
                             static_cast<T>(2 * kLog2E * static_cast<double>(score.inside)),
                             static_cast<T>(2 * kLog2E * static_cast<double>(score.outside)),
                             mask,
                             options.mask.query,
                             one_head(output, shape.queries, shape.value_size),
                             scores,
                             kernels<T>().attention,
                             kernels<T>().additive};
  const Index groups = call.groups(), tasks = checked_product(shape.elements(), groups);
  Execution limited = execution;
  if (static_cast<double>(shape.elements() * shape.queries) *
          static_cast<double>(shape.keys * shape.key_size) < kSerialTanh)
    limited.threads = 1;
  limited.threads =
      static_cast<int>(std::max<Index>(1, std::min<Index>(limited.threads, tasks)));
  std::vector<AdditiveScratch<T>> scratch;
  for (int i = 0; i < limited.threads; ++i)
    scratch.emplace_back(shape, call.lanes());
  // Under a causal mask the last groups cost most: they go first.
  parallel_for(tasks, limited, [&](Index task, int worker) {
    const Index group = groups - 1 - task % groups;
    AdditiveGroup<T>(call, scratch[static_cast<std::size_t>(worker)], task / groups, group).run();
  });
}

template void additive_attention_forward<float>(const AttentionShape &, const PlainInputs<float> &,
                                                const AdditiveScore<float> &,
                                                const AttentionOptions &, float *,
                                                const ScoreView &, const Execution &);
template void additive_attention_forward<double>(const AttentionShape &,
                                                 const PlainInputs<double> &,
                                                 const AdditiveScore<double> &,
                                                 const AttentionOptions &, double *,
                                                 const ScoreView &, const Execution &);

} // namespace attentive
