#include "predict.h"

#include <stdexcept>

#include "batch.h"

namespace attentive {
namespace {

// Numbers in the largest value of a piece: what is computed for it stays in the
// cache.
constexpr Index kPiece = 65536;

template <class T>
void make_room(const Value<T> &value, Index count, Index all, Prediction<T> &result) {
  if (value.dims.empty() || value.dims[0] != count)
    throw std::invalid_argument("an output of the model has no axis of samples");
  result.dims = value.dims;
  result.dims[0] = all;
  result.data = Buffer<T>(attentive::count(result.dims));
}

template <class T>
void run_piece(Program<T> &program, const Dataset<T> &dataset, const std::vector<Index> &rows,
               Index first, Index count, std::vector<Prediction<T>> &results) {
  load_rows(program, dataset, rows.data() + first, count);
  program.run().batch_offset = first;
  program.forward();
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Value<T> &value = program.output(i);
    if (results[i].dims.empty())
      make_room(value, count, static_cast<Index>(rows.size()), results[i]);
    std::copy_n(value.data.data(), value.data.size(),
                results[i].data.data() + value.data.size() / count * first);
  }
}

// What the outputs of a row are like, where there is none.
template <class T>
void plan_results(Program<T> &program, const Dataset<T> &dataset,
                  std::vector<Prediction<T>> &results) {
  program.prepare(input_dims(program, dataset, 1));
  for (std::size_t i = 0; i < results.size(); ++i)
    make_room<T>(program.output(i), 1, 0, results[i]);
}

// Rows that one thread computes at a time; 0 where all threads share each node,
// because the rows hang together or are large.
template <class T> Index piece_of(Program<T> &program, const Dataset<T> &dataset) {
  if (!program.separable() || dataset.columns.empty() || dataset.columns[0].samples() == 0)
    return 0;
  const Index row = 0;
  load_rows(program, dataset, &row, 1);
  Index largest = 1;
  for (const Value<T> &value : program.run().values)
    largest = std::max(largest, value.data.size());
  return kPiece / (2 * largest) == 0 ? 0 : kPiece / largest;
}

} // namespace

template <class T>
std::vector<Prediction<T>> predict_rows(Program<T> &program, const Dataset<T> &dataset,
                                        const std::vector<Index> &rows, Index batch_size) {
  std::vector<Prediction<T>> results(program.plan().outputs.size());
  const Index all = static_cast<Index>(rows.size());
  if (all == 0) {
    plan_results(program, dataset, results);
    return results;
  }
  // The first row tells how large the others' pieces and the results are. What comes
  // out for a row does not depend on those beside it.
  const Index piece = std::min(batch_size, piece_of(program, dataset));
  if (piece == 0) {
    for (Index first = 0; first < all; first += batch_size)
      run_piece(program, dataset, rows, first, std::min(batch_size, all - first), results);
    return results;
  }
  run_piece(program, dataset, rows, 0, 1, results);
  const int threads = std::max(program.run().execution.threads, 1);
  for (int i = 0; i < threads; ++i)
    program.copy(static_cast<std::size_t>(i)).run().execution = Execution();
  const Index left = all - 1;
  parallel_for((left + piece - 1) / piece, program.run().execution, [&](Index task, int worker) {
    const Index first = 1 + task * piece;
    run_piece(program.copied(static_cast<std::size_t>(worker)), dataset, rows, first,
              std::min(piece, all - first), results);
  });
  return results;
}

#define ATTENTIVE_INSTANTIATE(T)                                                                   \
  template std::vector<Prediction<T>> predict_rows<T>(Program<T> &, const Dataset<T> &,            \
                                                      const std::vector<Index> &, Index);
ATTENTIVE_INSTANTIATE(float)
ATTENTIVE_INSTANTIATE(double)
#undef ATTENTIVE_INSTANTIATE

} // namespace attentive
