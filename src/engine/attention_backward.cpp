// The backward pass as tasks: how the keys are cut, and in which order what the
// cuts contribute to the gradient of the queries is added up. Both depend on
// shapes only, never on the batch or on the number of threads.
#include "attention.h"

#include <algorithm>
#include <vector>

#include "backward_call.h"

namespace attentive {

namespace {

// Tasks that an element should give, so that all threads have work: a head's
// keys are cut into chunks for it, each of which costs a sum of d_q. Where that
// is little of the work, that is where chunks stay whole parts, more of them.
constexpr Index kWantedTasks = 8, kLeastChunkKeys = 256;
constexpr Index kWantedLongTasks = 16;

// Tasks that run at a time when keys are cut: bounds the memory of those sums.
constexpr Index kTasksAtATime = 32;

// Below this many multiply-adds a second thread costs more than it brings.
constexpr double kSerialWork = 1e6;

Index divided_up(Index a, Index b) { return (a + b - 1) / b; }

template <class T> struct Cut {
  Index chunks = 1, chunk_keys = 0; // of a head
  Index part_keys = 0;              // steps of a chunk, between which a call can be interrupted
  Index elements = 1;               // that run at a time

  explicit Cut(const BackwardCall<T> &call) {
    const AttentionShape &shape = call.shape;
    const Index heads = std::max<Index>(1, shape.free * shape.groups);
    part_keys = call.part_keys();
    const Index wanted =
        std::max(std::min(divided_up(kWantedTasks, heads), shape.keys / kLeastChunkKeys),
                 std::min(divided_up(kWantedLongTasks, heads), shape.keys / part_keys));
    chunk_keys = divided_up(divided_up(shape.keys, std::max<Index>(1, wanted)), kTileKeys);
    chunk_keys = std::max<Index>(1, chunk_keys) * kTileKeys;
    chunks = std::max<Index>(1, divided_up(shape.keys, chunk_keys));
    chunk_keys = std::min(chunk_keys, std::max<Index>(1, shape.keys));
    part_keys = std::min(part_keys, chunk_keys);
    elements = chunks == 1
                   ? shape.elements()
                   : std::min(shape.elements(), divided_up(kTasksAtATime, shape.groups * chunks));
  }
};

template <class T>
Execution limited(const AttentionShape &shape, const Cut<T> &cut, const Execution &execution) {
  Execution result = execution;
  const double work = static_cast<double>(shape.elements() * shape.heads) *
                      static_cast<double>(shape.queries) * static_cast<double>(shape.keys) *
                      static_cast<double>(3 * shape.key_size + 2 * shape.value_size);
  const Index tasks = work < kSerialWork ? 1 : cut.elements * shape.groups * cut.chunks;
  result.threads = static_cast<int>(std::max<Index>(1, std::min<Index>(result.threads, tasks)));
  return result;
}

template <class T> class Backward {
public:
  Backward(const BackwardCall<T> &call, const Execution &execution)
      : call_(call), cut_(call), execution_(limited(call.shape, cut_, execution)) {
    for (int i = 0; i < execution_.threads; ++i)
      scratch_.emplace_back(call);
  }

  void add_up_score_deltas(T *score_delta) {
    const AttentionShape &shape = call_.shape;
    const Index blocks = divided_up(shape.queries, kBackwardQueries);
    parallel_for(checked_product({shape.elements(), shape.heads, blocks}), execution_,
                 [&](Index task, int worker) {
                   const Index row = task / blocks;
                   backward_score_delta(call_, scratch(worker), row / shape.heads,
                                        row % shape.heads, task % blocks, score_delta);
                 });
  }

  void run(HeadView<T> d_q) {
    const AttentionShape &shape = call_.shape;
    // [chunks - 1, elements, T, H, K]
    element_ = checked_product({shape.queries, shape.heads, shape.key_size});
    partial_ = Buffer<T>(checked_product({cut_.chunks - 1, cut_.elements, element_}));
    for (Index n = 0; n < shape.elements(); n += cut_.elements) {
      const Index elements = std::min(cut_.elements, shape.elements() - n);
      Index part = 0;
      do { // once even where there is no key, so that d_q is cleared
        run_part(n, elements, part, d_q);
        part += cut_.part_keys;
      } while (part < std::min(cut_.chunk_keys, shape.keys));
      add_up(d_q, n, elements);
    }
  }

private:
  const BackwardCall<T> &call_;
  const Cut<T> cut_;
  const Execution execution_;
  std::vector<BackwardScratch<T>> scratch_;
  Buffer<T> partial_;
  Index element_ = 0;

  BackwardScratch<T> &scratch(int worker) { return scratch_[static_cast<std::size_t>(worker)]; }

  // The part that begins `part` keys after the beginning of each chunk.
  void run_part(Index n, Index elements, Index part, HeadView<T> d_q) {
    const AttentionShape &shape = call_.shape;
    const Index heads = elements * shape.groups;
    // The first keys first: under a causal mask they cost most.
    parallel_for(heads * cut_.chunks, execution_, [&](Index task, int worker) {
      const Index chunk = task / heads, head = task % heads, at = head / shape.groups;
      const Index chunk_end = std::min((chunk + 1) * cut_.chunk_keys, shape.keys);
      const Index first = std::min(chunk * cut_.chunk_keys + part, chunk_end);
      const Index last = std::min(first + cut_.part_keys, chunk_end);
      if (first < last || part == 0)
        backward_part(call_, scratch(worker), n + at, head % shape.groups, first, last, part > 0,
                      target(d_q, chunk, n + at, at));
    });
  }

  // Where a chunk puts d_q of element n, which is number `at` of those running.
  HeadView<T> target(HeadView<T> d_q, Index chunk, Index n, Index at) {
    if (chunk == 0)
      return {d_q.row(n, 0, 0), 0, d_q.token_stride, d_q.head_stride};
    const Index size = call_.shape.key_size;
    T *data = partial_.data() + ((chunk - 1) * cut_.elements + at) * element_;
    return {data, 0, call_.shape.heads * size, size};
  }

  void add_up(HeadView<T> d_q, Index n, Index elements) {
    if (cut_.chunks == 1)
      return;
    const AttentionShape &shape = call_.shape;
    parallel_for(elements * shape.heads, execution_, [&](Index task, int) {
      const Index at = task / shape.heads, h = task % shape.heads;
      for (Index t = 0; t < shape.queries; ++t)
        for (Index chunk = 1; chunk < cut_.chunks; ++chunk) {
          T *to = d_q.row(n + at, t, h);
          const T *from = target(d_q, chunk, n + at, at).row(0, t, h);
          for (Index i = 0; i < shape.key_size; ++i)
            to[i] += from[i];
        }
    });
  }
};

} // namespace

template <class T>
void attention_backward(const AttentionShape &shape, HeadView<const T> q, HeadView<const T> k,
                        HeadView<const T> v, const AttentionOptions &options, HeadView<const T> out,
                        const T *lse, HeadView<const T> d_out, const T *d_scores, HeadView<T> d_q,
                        HeadView<T> d_k, HeadView<T> d_v, const Execution &execution) {
  if (shape.groups <= 0 || shape.heads % shape.groups != 0)
    throw std::invalid_argument("heads must be a multiple of groups");
  BackwardCall<T> call{
      shape, q,        k,       v,   options, out,          lse,
      d_out, d_scores, nullptr, d_k, d_v,     kernels<T>(), DropoutMask(options.dropout, shape)};
  Buffer<T> score_delta;
  Backward<T> backward(call, execution);
  if (d_scores != nullptr) {
    score_delta = Buffer<T>(checked_product({shape.elements(), shape.heads, shape.queries}), T(0));
    backward.add_up_score_deltas(score_delta.data());
    call.score_delta = score_delta.data();
  }
  backward.run(d_q);
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template void attention_backward(const AttentionShape &, HeadView<const T>, HeadView<const T>,   \
                                   HeadView<const T>, const AttentionOptions &, HeadView<const T>, \
                                   const T *, HeadView<const T>, const T *, HeadView<T>,           \
                                   HeadView<T>, HeadView<T>, const Execution &);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
