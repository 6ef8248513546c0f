// y = x / (share that is kept) where kept, else 0; x itself outside training.
//
// Decisions come from dropout.h, with no state: number i of an element of the
// batch (row-major, without the batch) is that of head 0 of the element, query
// i / 256 * 32 + i % 32 and key i % 256 / 32, so that one block of the kernel
// decides for 256 numbers side by side.
#include "node_loops.h"

namespace attentive {
namespace {

constexpr Index kBlock = 256, kLanes = 32, kWords = kBlock / kLanes;

struct DropoutOptions {
  double rate = 0;
  std::uint64_t key = 0;
  std::vector<double> noise_shape; // empty: that of x
};

DropoutOptions read_dropout_options(const NodeOptions &options) {
  DropoutOptions read;
  read.rate = options.number("rate", 0);
  const std::vector<double> key = options.list("key");
  if (key.size() == 2)
    read.key = static_cast<std::uint64_t>(key[0]) << 32 | static_cast<std::uint64_t>(key[1]);
  const double use = options.number("use", 0);
  if (use > 0)
    read.key = derive_key(read.key, static_cast<std::uint64_t>(use));
  read.noise_shape = options.list("noise_shape");
  return read;
}

template <class T> class DropoutNode final : public SameShapeNode<T> {
public:
  DropoutNode(NodeLinks links, const DropoutOptions &options)
      : SameShapeNode<T>(std::move(links)), options_(options) {}

  void plan(Run<T> &run) override {
    SameShapeNode<T>::plan(run);
    const Dims &dims = this->input(run).dims;
    noise_ = dims;
    const std::vector<double> &shape = options_.noise_shape;
    if (!shape.empty() && shape.size() != dims.size())
      throw std::invalid_argument("noise_shape must have as many sizes as the input");
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 1)
        noise_[i] = 1;
      else if (i > 0 && shape[i] > 0 && shape[i] != static_cast<double>(dims[i]))
        throw std::invalid_argument("a size of noise_shape is 1 or that of the input");
    }
    shares_batch_ = !shape.empty() && shape[0] == 1;
    numbers_ = count(Dims(noise_.begin() + 1, noise_.end()));
    words_ = (numbers_ + kBlock - 1) / kBlock * kWords;
    kept_ = Buffer<std::uint32_t>(noise_[0] * words_);
  }

  void forward(Run<T> &run) override {
    const Value<T> &x = this->input(run);
    T *y = this->output(run).data.data();
    draw(run);
    apply(run, x.dims, x.data.data(), {y, false});
  }

  void backward(Run<T> &run) override {
    const Value<T> &y = this->output(run);
    const GradientPlace<T> d_x = this->input_gradient(run);
    if (d_x.data != nullptr)
      apply(run, y.dims, y.gradient.data(), d_x);
  }

private:
  void draw(Run<T> &run) {
    Dropout dropout;
    dropout.rate = run.training ? options_.rate : 0;
    dropout.seed = options_.key;
    dropout.call = run.call;
    dropout.batch_offset = shares_batch_ ? 0 : run.batch_offset;
    AttentionShape shape;
    shape.free = shape.heads = 1;
    const DropoutMask mask(dropout, shape);
    drops_ = !mask.drops_none();
    scale_ = static_cast<T>(mask.scale());
    if (!drops_)
      return;
    const auto keep_bits = kernels<T>().dropout.keep_bits;
    for_row_parts(noise_[0], numbers_, run.execution, [&](Index first, Index last) {
      for (Index n = first; n < last; ++n)
        for (Index block = 0; block < words_ / kWords; ++block) {
          std::uint32_t queries[kLanes];
          for (Index lane = 0; lane < kLanes; ++lane)
            queries[lane] = static_cast<std::uint32_t>(block * kLanes + lane);
          keep_bits(mask.head(n, 0), queries, kLanes, 0, kWords,
                    kept_.data() + n * words_ + block * kWords);
        }
    });
  }

  bool keeps(Index element, Index i) const {
    return kept_[element * words_ + i / kLanes] >> (i % kLanes) & 1u;
  }

  // to (+)= from where kept, times the scale
  void apply(Run<T> &run, const Dims &dims, const T *from, GradientPlace<T> to) {
    if (!drops_)
      return pass_gradient(from, to, count(dims), run.execution);
    if (noise_ != dims)
      return apply_shared(dims, from, to);
    for_row_parts(dims[0], numbers_, run.execution, [&](Index first, Index last) {
      for (Index n = first; n < last; ++n) {
        kernels<T>().elementwise.keep(from + n * numbers_, kept_.data() + n * words_, scale_,
                                      to.data + n * numbers_, numbers_, to.accumulate);
      }
    });
  }

  // One decision serves several numbers.
  void apply_shared(const Dims &dims, const T *from, GradientPlace<T> to) {
    Dims place(dims.size(), 0);
    write_gradient(to, 0, count(dims), [&](Index i) {
      Index decision = 0;
      for (std::size_t k = 1; k < dims.size(); ++k)
        decision = decision * noise_[k] + (noise_[k] == 1 ? 0 : place[k]);
      const T kept = keeps(shares_batch_ ? 0 : place[0], decision) ? from[i] * scale_ : T(0);
      for (std::size_t k = dims.size(); k-- > 0 && ++place[k] == dims[k];)
        place[k] = 0;
      return kept;
    });
  }

  DropoutOptions options_;
  Dims noise_;
  Index numbers_ = 0, words_ = 0; // of decisions for an element of the batch
  Buffer<std::uint32_t> kept_;    // [B or 1, words_]
  bool shares_batch_ = false, drops_ = false;
  T scale_ = 1;
};

} // namespace

template <class T>
std::unique_ptr<Node<T>> make_dropout_node(NodeLinks links, const NodeOptions &options) {
  return std::make_unique<DropoutNode<T>>(std::move(links), read_dropout_options(options));
}
ATTENTIVE_MAKER(make_dropout_node)

} // namespace attentive
