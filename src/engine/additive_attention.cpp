// Additive attention, a group of queries at a time: their scores with all keys
// are held, never those of all queries, and never the T x S x K terms.
#include <vector>

#include "additive_group.h"

namespace attentive {
namespace {

// A tanh is worth this many multiply-adds.
constexpr double kTanhWork = 10;

template <class T> class ForwardGroup {
public:
  ForwardGroup(const AdditiveCall<T> &call, AdditiveScratch<T> &scratch, T *o, HeadView<T> out,
               const ScoreView &scores, Index n, Index group)
      : call_(call), s_(scratch), o_(o), out_(out), scores_(scores), n_(n),
        group_(call, scratch, n, group, scores.data != nullptr) {}

  void run() {
    const bool sees_any = group_.score();
    if (sees_any) {
      if (!call_.dropout.drops_none())
        drop();
      if (!combine(call_.kernels.attention.add_values)) // maybe only behind the mask
        combine(call_.kernels.attention.add_seen_values);
    }
    for (int lane = 0; lane < group_.count(); ++lane)
      if (!sees_any || call_.dropout.drops_all() || !call_.takes_part(n_, group_.query(lane)))
        std::fill_n(out_.row(n_, group_.query(lane), 0), call_.shape.value_size, T(0));
    if (scores_.data != nullptr)
      write_scores(sees_any);
  }

private:
  const AdditiveCall<T> &call_;
  AdditiveScratch<T> &s_;
  T *const o_; // [V, L]
  const HeadView<T> out_;
  const ScoreView &scores_;
  const Index n_;
  AdditiveGroup<T> group_;

  void drop() {
    group_.draw_kept();
    const int lanes = call_.lanes();
    for (Index s = group_.begin(); s < group_.end(); ++s)
      for (int lane = 0; lane < lanes; ++lane)
        if (call_.dropout.drops_all() || (s_.kept[s] >> lane & 1u) == 0)
          s_.p[s * lanes + lane] = T(0);
    for (int lane = 0; lane < lanes; ++lane)
      group_.factor()[lane] *= static_cast<T>(call_.dropout.scale());
  }

  // The outputs; false if one is not finite.
  bool combine(void (*add)(const AttentionTile<T> &)) {
    std::fill_n(o_, call_.shape.value_size * call_.lanes(), T(0));
    for (Index first = group_.begin(); first < group_.end(); first += kTileKeys) {
      AttentionTile<T> tile;
      tile.v = call_.v.row(n_, first, 0);
      tile.v_stride = call_.v.token_stride;
      tile.value_size = call_.shape.value_size;
      tile.bits = group_.bits() == nullptr ? nullptr : group_.bits() + first;
      tile.p = s_.p.data() + first * call_.lanes();
      tile.o = o_;
      for (int vector = 0; vector < group_.vectors(); ++vector)
        tile.end[vector] = static_cast<int>(std::min<Index>(kTileKeys, group_.end() - first));
      add(tile);
    }
    T *rows[kMaxGroup];
    for (int lane = 0; lane < group_.count(); ++lane)
      rows[lane] = out_.row(n_, group_.query(lane), 0);
    return call_.kernels.attention.unpack_rows(o_, group_.factor(), call_.shape.value_size,
                                               group_.count(), rows);
  }

  void write_scores(bool sees_any) {
    double *const start = scores_.data + (n_ / call_.shape.free) * scores_.batch +
                          (n_ % call_.shape.free) * scores_.free;
    const int lanes = call_.lanes();
    for (Index s = 0; s < call_.shape.keys; ++s)
      for (int lane = 0; lane < group_.count(); ++lane) {
        const bool seen = sees_any && group_.sees(lane, s);
        start[group_.query(lane) * scores_.query + s * scores_.key] =
            seen ? static_cast<double>(s_.p[s * lanes + lane] * group_.factor()[lane])
                 : 0.0; // also where the factor is NaN
      }
  }
};

} // namespace

template <class T>
void additive_attention_forward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                                const AdditiveScore<T> &score, const AttentionOptions &options,
                                T *output, const ScoreView &scores, const Execution &execution) {
  const AdditiveCall<T> call(shape, inputs, score, options);
  const HeadView<T> out = one_head(output, shape.queries, shape.value_size);
  const Index groups = call.groups(), tasks = checked_product(shape.elements(), groups);
  const Execution limited = worthwhile(
      execution, tasks,
      kTanhWork * static_cast<double>(shape.elements() * shape.queries) *
          static_cast<double>(shape.keys * shape.key_size));
  for (Index row = 0; row < shape.elements() * shape.queries; ++row)
    if (call.query_mask != nullptr && call.query_mask[row] == 0)
      std::fill_n(output + row * shape.value_size, shape.value_size, T(0));
  std::vector<AdditiveScratch<T>> scratch;
  std::vector<Buffer<T>> o;
  for (int i = 0; i < limited.threads; ++i) {
    scratch.emplace_back(shape, call.lanes());
    o.emplace_back(checked_product(shape.value_size, call.lanes()));
  }
  // Under a causal mask the last groups cost most: they go first.
  parallel_for(tasks, limited, [&](Index task, int worker) {
    const auto w = static_cast<std::size_t>(worker);
    ForwardGroup<T>(call, scratch[w], o[w].data(), out, scores, task / groups,
                    groups - 1 - task % groups)
        .run();
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
