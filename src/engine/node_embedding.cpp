// ids[...], table[V, D] -> [..., D]
#include <cmath>

#include "node_loops.h"

namespace attentive {
namespace {

template <class T> class EmbeddingNode final : public Node<T> {
public:
  EmbeddingNode(NodeLinks links, Index width) : Node<T>(std::move(links)), width_(width) {}

  void plan(Run<T> &run) override {
    Dims dims = this->input(run).dims;
    rows_ = Buffer<Index>(count(dims));
    dims.push_back(width_);
    this->output(run).dims = dims;
  }

  void forward(Run<T> &run) override {
    find_rows(run);
    const T *table = this->weight(run, 0)->data;
    T *y = this->output(run).data.data();
    for_row_parts(rows_.size(), width_, run.execution, [&](Index first, Index last) {
      for (Index i = first; i < last; ++i)
        std::copy_n(table + rows_[i] * width_, width_, y + i * width_);
    });
  }

  // Each task owns columns of the table and adds tokens in their order.
  void backward(Run<T> &run) override {
    const T *d_y = this->output(run).gradient.data();
    const GradientPlace<T> d_table = this->weight_gradient(run, 0);
    if (d_table.data == nullptr)
      return;
    const Index vocabulary = this->weight(run, 0)->size / std::max<Index>(1, width_);
    constexpr Index kColumns = 64;
    for_parts(width_, kColumns, run.execution, [&](Index first, Index last) {
      if (!d_table.accumulate)
        for (Index row = 0; row < vocabulary; ++row)
          std::fill(d_table.data + row * width_ + first, d_table.data + row * width_ + last, T(0));
      for (Index i = 0; i < rows_.size(); ++i) {
        T *to = d_table.data + rows_[i] * width_;
        for (Index j = first; j < last; ++j)
          to[j] += d_y[i * width_ + j];
      }
    });
  }

private:
  // Ids are cut towards 0, as Keras casts them.
  void find_rows(Run<T> &run) {
    const T *ids = this->input(run).data.data();
    const Index vocabulary = this->weight(run, 0)->size / std::max<Index>(1, width_);
    for (Index i = 0; i < rows_.size(); ++i) {
      const auto id = std::trunc(static_cast<double>(ids[i]));
      if (!(id >= 0 && id < static_cast<double>(vocabulary)))
        throw std::invalid_argument("the embedding has ids from 0 to " +
                                    std::to_string(vocabulary - 1) + ", not " +
                                    (std::isfinite(id) ? std::to_string(std::llround(id))
                                                       : std::string("a missing value")));
      rows_[i] = static_cast<Index>(id);
    }
  }

  Index width_;
  Buffer<Index> rows_; // of the table, one a token
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_embedding_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<EmbeddingNode<T>>(std::move(links),
                                            static_cast<Index>(options.number("width", 0)));
}
ATTENTIVE_MAKER(make_embedding_node)

} // namespace attentive
