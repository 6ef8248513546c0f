// The gradients of additive attention. With P the scores, M dropout's mask with
// its factor, dC the gradient of the output, and for each pair of query t and
// key s x_i = inside * (q_ti + k_si), sigma_i its tanh:
//   dV = (P M)' dC
//   g  = P (M (dC V' + d_scores) - delta),  delta = row sums of P M (dC V' + d_scores)
//   dq_ti = outside inside sum over s of g scale_i (1 - sigma_i^2), dk_si alike over t
//   d_scale_i = outside sum of g sigma_i,  d_outside = sum of g scale_i sigma_i
//   d_inside = (sum of dq q + sum of dk k) / inside
// P is computed again, a strip [S, L] for each group of queries. The groups of an
// element are cut into a fixed number of chunks, whose dk and dv are added up in
// their order: the same bits for any number of threads.
#include <cmath>
#include <vector>

#include "additive_group.h"
#include "matmul.h"

namespace attentive {
namespace {

constexpr Index kChunks = 8;
constexpr double kTanhWork = 30; // multiply-adds, of both passes

template <class T> struct BackwardCall {
  AdditiveCall<T> forward;
  HeadView<const T> d_out;
  const T *d_scores;
  HeadView<T> d_q, d_k, d_v;
  Index chunks() const { return std::max<Index>(1, std::min(kChunks, forward.groups())); }
};

// What a chunk adds up; d_k and d_e without the factors outside and inside.
template <class T> struct ChunkSums {
  explicit ChunkSums(const AttentionShape &shape)
      : d_k(checked_product(shape.keys, shape.key_size)),
        d_v(checked_product(shape.keys, shape.value_size)), d_e(shape.key_size) {}
  void clear() {
    std::fill_n(d_k.data(), d_k.size(), T(0));
    std::fill_n(d_v.data(), d_v.size(), T(0));
    std::fill_n(d_e.data(), d_e.size(), T(0));
    d_inside = 0;
  }
  Buffer<T> d_k, d_v, d_e; // [S, K], [S, V], [K]
  double d_inside = 0;     // the share of the queries
};

template <class T> struct BackwardScratch {
  BackwardScratch(const AttentionShape &shape, int lanes)
      : forward(shape, lanes), g(checked_product(shape.keys, lanes)),
        d_out(checked_product(shape.value_size, lanes)),
        d_out_lanes(checked_product(shape.value_size, lanes)),
        d_q(checked_product(shape.key_size, lanes)), d_e(checked_product(shape.key_size, lanes)) {}
  AdditiveScratch<T> forward;
  Buffer<T> g;                  // [S, L]
  Buffer<T> d_out, d_out_lanes; // [L, V], [V, L]
  Buffer<T> d_q, d_e;           // [K, L]
};

template <class T> class BackwardGroup {
public:
  BackwardGroup(const BackwardCall<T> &call, BackwardScratch<T> &scratch, ChunkSums<T> &sums,
                Index n, Index group)
      : call_(call), f_(call.forward), shape_(f_.shape), s_(scratch), sums_(sums), n_(n),
        lanes_(f_.lanes()), group_(f_, scratch.forward, n, group, call.d_scores != nullptr) {}

  void run() {
    if (!group_.score())
      return;
    load_d_out();
    differentiate_weights();
    add_d_v();
    add_score_gradients();
  }

private:
  const BackwardCall<T> &call_;
  const AdditiveCall<T> &f_;
  const AttentionShape &shape_;
  BackwardScratch<T> &s_;
  ChunkSums<T> &sums_;
  const Index n_;
  const int lanes_;
  AdditiveGroup<T> group_;
  bool finite_ = true; // d_out

  T *p(Index s) { return s_.forward.p.data() + s * lanes_; }
  T *g(Index s) { return s_.g.data() + s * lanes_; }

  // Rows of queries that take part, 0 for the others.
  void load_d_out() {
    const Index size = shape_.value_size;
    std::fill_n(s_.d_out.data(), s_.d_out.size(), T(0));
    const T *rows[kMaxGroup];
    for (int lane = 0; lane < group_.count(); ++lane) {
      const Index t = group_.query(lane);
      T *const row = s_.d_out.data() + lane * size;
      if (f_.takes_part(n_, t) && !f_.dropout.drops_all())
        std::copy_n(call_.d_out.row(n_, t, 0), size, row);
      for (Index j = 0; j < size; ++j)
        finite_ = finite_ && std::isfinite(row[j]);
      rows[lane] = row;
    }
    f_.kernels.attention.pack_rows(rows, group_.count(), size, T(1), s_.d_out_lanes.data());
  }

  // From p, not normalised: p becomes P M, g the gradient of the scores, which
  // is held as P times the gradient of P until delta is known.
  void differentiate_weights() {
    const Index begin = group_.begin(), keys = group_.end() - begin, size = shape_.value_size;
    const bool drops = !f_.dropout.drops_none();
    if (drops)
      group_.draw_kept();
    matmul<T>({f_.v.row(n_, begin, 0), keys, size, f_.v.token_stride, 1},
              {s_.d_out_lanes.data(), size, lanes_, lanes_, 1}, {g(begin), keys, lanes_, lanes_, 1},
              nullptr, MatmulOptions(), Execution());
    const T kept_factor = static_cast<T>(f_.dropout.scale());
    T delta[kMaxGroup] = {};
    for (Index s = begin; s < group_.end(); ++s)
      for (int lane = 0; lane < group_.count(); ++lane) {
        T &weight = p(s)[lane], &d_weight = g(s)[lane];
        if (!group_.sees(lane, s)) {
          weight = d_weight = T(0); // also where the row or the value is NaN
          continue;
        }
        weight *= group_.factor()[lane];
        if (call_.d_scores != nullptr)
          d_weight += call_.d_scores[(n_ * shape_.queries + group_.query(lane)) * shape_.keys + s];
        const bool kept =
            !drops || (!f_.dropout.drops_all() && (s_.forward.kept[s] >> lane & 1u) != 0);
        d_weight *= kept ? kept_factor : T(0);
        d_weight *= weight;
        delta[lane] += d_weight;
      }
    for (Index s = begin; s < group_.end(); ++s)
      for (int lane = 0; lane < lanes_; ++lane) {
        T &weight = p(s)[lane], &d_weight = g(s)[lane];
        if (lane >= group_.count()) {
          weight = d_weight = T(0);
          continue;
        }
        if (group_.sees(lane, s))
          d_weight -= weight * delta[lane];
        if (drops)
          weight *= !f_.dropout.drops_all() && (s_.forward.kept[s] >> lane & 1u) != 0 ? kept_factor
                                                                                      : T(0);
      }
  }

  void add_d_v() {
    const Index begin = group_.begin(), keys = group_.end() - begin, size = shape_.value_size;
    T *const d_v = sums_.d_v.data() + begin * size;
    if (finite_) {
      MatmulOptions options;
      options.accumulate = true;
      matmul<T>({p(begin), keys, group_.count(), lanes_, 1},
                {s_.d_out.data(), group_.count(), size, size, 1}, {d_v, keys, size, size, 1},
                nullptr, options, Execution());
      return;
    }
    for (Index s = begin; s < group_.end(); ++s) // only pairs that may be seen
      for (int lane = 0; lane < group_.count(); ++lane)
        if (group_.sees(lane, s))
          for (Index j = 0; j < size; ++j)
            sums_.d_v[s * size + j] += p(s)[lane] * s_.d_out[lane * size + j];
  }

  void add_score_gradients() {
    const Index size = shape_.key_size;
    std::fill_n(s_.d_q.data(), s_.d_q.size(), T(0));
    std::fill_n(s_.d_e.data(), s_.d_e.size(), T(0));
    AdditiveGradient<T> to;
    to.g = s_.g.data();
    to.d_q = s_.d_q.data();
    to.d_e = s_.d_e.data();
    to.d_k = sums_.d_k.data();
    f_.kernels.additive.differentiate(group_.additive_tile(), to);

    const T factor = f_.outside * f_.inside;
    for (int lane = 0; lane < group_.count(); ++lane) {
      const T *q = f_.q.row(n_, group_.query(lane), 0);
      T *d_q = call_.d_q.row(n_, group_.query(lane), 0);
      double inside = 0;
      for (Index i = 0; i < size; ++i) {
        const T d = s_.d_q[i * lanes_ + lane];
        if (d != T(0)) // a q that is not finite counts only where it is seen
          inside += static_cast<double>(d) * static_cast<double>(q[i]);
        d_q[i] = factor * d;
        sums_.d_e[i] += s_.d_e[i * lanes_ + lane];
      }
      sums_.d_inside += inside;
    }
  }
};

// Gradients of the score's own numbers, of one element: [K] and two more.
template <class T> struct ElementScore {
  T *d_e;
  double d_inside = 0;
};

template <class T>
void backward_element(const BackwardCall<T> &call, std::vector<BackwardScratch<T>> &scratch,
                      std::vector<ChunkSums<T>> &chunks, Index n, ElementScore<T> &score,
                      const Execution &execution) {
  const AdditiveCall<T> &f = call.forward;
  const AttentionShape &shape = f.shape;
  const Index groups = f.groups(), count = call.chunks();
  for (Index t = 0; t < shape.queries; ++t)
    std::fill_n(call.d_q.row(n, t, 0), shape.key_size, T(0));
  parallel_for(count, execution, [&](Index chunk, int worker) {
    ChunkSums<T> &sums = chunks[static_cast<std::size_t>(chunk)];
    sums.clear();
    for (Index group = groups * chunk / count; group < groups * (chunk + 1) / count; ++group)
      BackwardGroup<T>(call, scratch[static_cast<std::size_t>(worker)], sums, n, group).run();
  });
  ChunkSums<T> &total = chunks[0];
  for (Index chunk = 1; chunk < count; ++chunk) {
    const ChunkSums<T> &sums = chunks[static_cast<std::size_t>(chunk)];
    for (Index i = 0; i < total.d_k.size(); ++i)
      total.d_k[i] += sums.d_k[i];
    for (Index i = 0; i < total.d_v.size(); ++i)
      total.d_v[i] += sums.d_v[i];
    for (Index i = 0; i < total.d_e.size(); ++i)
      total.d_e[i] += sums.d_e[i];
    total.d_inside += sums.d_inside;
  }
  const T factor = f.outside * f.inside;
  const T *k = f.k.row(n, 0, 0);
  for (Index i = 0; i < total.d_k.size(); ++i) {
    const T d = total.d_k[i];
    if (d != T(0))
      total.d_inside += static_cast<double>(d) * static_cast<double>(k[i]);
    call.d_k.row(n, 0, 0)[i] = factor * d;
  }
  std::copy_n(total.d_v.data(), total.d_v.size(), call.d_v.row(n, 0, 0));
  std::copy_n(total.d_e.data(), total.d_e.size(), score.d_e);
  score.d_inside = total.d_inside;
}

// The score's own gradients, summed over the elements in their order.
template <class T>
void finish_score(const AdditiveCall<T> &call, const std::vector<ElementScore<T>> &scores,
                  const AdditiveScoreGradient<T> &to) {
  double d_inside = 0, d_outside = 0;
  for (Index i = 0; i < call.shape.key_size; ++i) {
    double d_e = 0;
    for (const ElementScore<T> &score : scores)
      d_e += static_cast<double>(score.d_e[i]);
    d_outside += static_cast<double>(call.scale[i]) * d_e;
    if (to.scale != nullptr)
      to.scale[i] = static_cast<T>(static_cast<double>(call.outside) * d_e);
  }
  for (const ElementScore<T> &score : scores)
    d_inside += score.d_inside;
  if (to.inside != nullptr)
    *to.inside = static_cast<T>(static_cast<double>(call.outside) * d_inside);
  if (to.outside != nullptr)
    *to.outside = static_cast<T>(d_outside);
}

} // namespace

template <class T>
void additive_attention_backward(const AttentionShape &shape, const PlainInputs<T> &inputs,
                                 const AdditiveScore<T> &score, const AttentionOptions &options,
                                 const T *d_output, const T *d_scores,
                                 const PlainGradients<T> &d_inputs,
                                 const AdditiveScoreGradient<T> &d_score,
                                 const Execution &execution) {
  const BackwardCall<T> call{AdditiveCall<T>(shape, inputs, score, options),
                             one_head(d_output, shape.queries, shape.value_size),
                             d_scores,
                             one_head(d_inputs.query, shape.queries, shape.key_size),
                             one_head(d_inputs.key, shape.keys, shape.key_size),
                             one_head(d_inputs.value, shape.keys, shape.value_size)};
  const Index elements = shape.elements(), chunks = call.chunks();
  const double work = kTanhWork * static_cast<double>(elements * shape.queries) *
                      static_cast<double>(shape.keys * shape.key_size);
  // Many elements: one each; few: the chunks of one after the other.
  const bool by_element = elements >= execution.threads;
  const Execution limited = worthwhile(execution, by_element ? elements : chunks, work);
  const auto threads = static_cast<std::size_t>(limited.threads);
  std::vector<std::vector<BackwardScratch<T>>> scratch(by_element ? threads : 1);
  std::vector<std::vector<ChunkSums<T>>> sums(scratch.size());
  for (std::size_t i = 0; i < scratch.size(); ++i) {
    for (std::size_t j = 0; j < (by_element ? 1 : threads); ++j)
      scratch[i].emplace_back(shape, call.forward.lanes());
    for (Index j = 0; j < chunks; ++j)
      sums[i].emplace_back(shape);
  }
  Buffer<T> d_e(checked_product(elements, shape.key_size), T(0));
  std::vector<ElementScore<T>> scores;
  for (Index n = 0; n < elements; ++n)
    scores.push_back({d_e.data() + n * shape.key_size, 0});
  const auto element = [&](Index n, std::size_t worker, const Execution &inner) {
    backward_element(call, scratch[worker], sums[worker], n, scores[static_cast<std::size_t>(n)],
                     inner);
  };
  if (by_element)
    parallel_for(elements, limited, [&](Index n, int worker) {
      element(n, static_cast<std::size_t>(worker), Execution());
    });
  else
    for (Index n = 0; n < elements; ++n)
      element(n, 0, limited);
  finish_score(call.forward, scores, d_score);
}

template void additive_attention_backward<float>(const AttentionShape &, const PlainInputs<float> &,
                                                 const AdditiveScore<float> &,
                                                 const AttentionOptions &, const float *,
                                                 const float *, const PlainGradients<float> &,
                                                 const AdditiveScoreGradient<float> &,
                                                 const Execution &);
template void additive_attention_backward<double>(const AttentionShape &,
                                                  const PlainInputs<double> &,
                                                  const AdditiveScore<double> &,
                                                  const AttentionOptions &, const double *,
                                                  const double *, const PlainGradients<double> &,
                                                  const AdditiveScoreGradient<double> &,
                                                  const Execution &);

} // namespace attentive
