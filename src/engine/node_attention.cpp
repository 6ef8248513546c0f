#include "node_attention.h"

#include <algorithm>

#include "random.h"

namespace attentive {
namespace {

// out[dims], whose axis i is axis order[i] of the mask (empty: axis i); a size
// of 1 there serves all of the axis. std::invalid_argument where they do not fit.
void gather(const std::uint8_t *from, const Dims &from_dims, const std::vector<int> &order,
            const Dims &dims, const char *what, std::uint8_t *out) {
  const std::size_t rank = dims.size();
  if (from_dims.size() != rank)
    throw std::invalid_argument(std::string(what) + " has a wrong number of dimensions");
  Dims strides(rank), steps(rank), at(rank, 0);
  Index stride = 1;
  for (std::size_t i = rank; i-- > 0; stride *= from_dims[i])
    strides[i] = stride;
  for (std::size_t i = 0; i < rank; ++i) {
    const std::size_t axis = order.empty() ? i : static_cast<std::size_t>(order[i]);
    if (from_dims[axis] != dims[i] && from_dims[axis] != 1)
      throw std::invalid_argument(std::string(what) + " does not fit the shape of the inputs");
    steps[i] = from_dims[axis] == 1 ? 0 : strides[axis];
  }
  const Index size = count(dims);
  for (Index i = 0; i < size; ++i) {
    out[i] = *from;
    for (std::size_t axis = rank; axis-- > 0;) {
      from += steps[axis];
      if (++at[axis] < dims[axis])
        break;
      from -= steps[axis] * dims[axis];
      at[axis] = 0;
    }
  }
}

bool identity(const std::vector<int> &order) {
  for (std::size_t i = 0; i < order.size(); ++i)
    if (order[i] != static_cast<int>(i))
      return false;
  return true;
}

Index product(const Dims &dims, std::size_t first, std::size_t last) {
  Index total = 1;
  for (std::size_t i = first; i < last; ++i)
    total = checked_product(total, dims[i]);
  return total;
}

} // namespace

template <class T>
AttentionNode<T>::AttentionNode(NodeLinks links, const NodeOptions &options)
    : Node<T>(std::move(links)), attended_(static_cast<int>(options.number("attended", 1))),
      causal_(options.flag("causal")), whole_batch_(options.flag("whole_batch")),
      window_(static_cast<Index>(options.number("window", 0))) {
  for (double axis : options.list("order"))
    order_.push_back(static_cast<int>(axis));
  if (identity(order_))
    order_.clear();
  dropout_.rate = options.number("rate", 0);
  const std::vector<double> key = options.list("key");
  if (key.size() == 2)
    dropout_.seed = static_cast<std::uint64_t>(key[0]) << 32 | static_cast<std::uint64_t>(key[1]);
  // a layer that is used in several places draws for each
  if (const auto use = static_cast<std::uint64_t>(options.number("use", 0)))
    dropout_.seed = derive_key(dropout_.seed, use);
  if (this->links().outputs.size() > 1)
    scores_ = options.text("scores", "all") == "mean" ? Scores::mean : Scores::all;
}

template <class T> void AttentionNode<T>::plan_shape(Run<T> &run) {
  const Dims &query = this->input(run, kQuery).dims, &value = this->input(run, kValue).dims;
  const Dims &key = this->input(run, kKey).dims;
  const std::size_t rank = query.size(), attended = static_cast<std::size_t>(attended_);
  if (attended_ < 1 || rank < attended + 2 || value.size() != rank || key.size() != rank)
    throw std::invalid_argument("query, value and key have wrong numbers of dimensions");
  const std::size_t first = rank - 1 - attended; // of the attended axes
  if (!std::equal(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(first),
                  value.begin()) ||
      !std::equal(value.begin(), value.end() - 1, key.begin()))
    throw std::invalid_argument("the shapes of query, value and key do not fit together");
  shape_.batch = query[0];
  shape_.free = product(query, 1, first);
  shape_.queries = product(query, first, rank - 1);
  shape_.keys = product(value, first, rank - 1);
  score_dims_.assign(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(first));
  score_dims_.push_back(shape_.heads);
  score_dims_.insert(score_dims_.end(), query.end() - 1 - attended_, query.end() - 1);
  score_dims_.insert(score_dims_.end(), value.end() - 1 - attended_, value.end() - 1);
}

template <class T>
void AttentionNode<T>::plan_outputs(Run<T> &run, const std::vector<Index> &features) {
  Dims dims = this->input(run, kQuery).dims;
  dims.pop_back();
  dims.insert(dims.end(), features.begin(), features.end());
  this->output(run).dims = dims;
  if (scores_ == Scores::none)
    return;
  dims = score_dims_;
  if (scores_ == Scores::mean)
    dims.erase(dims.end() - 1 - 2 * attended_);
  this->output(run, 1).dims = dims;
}

template <class T>
const std::uint8_t *AttentionNode<T>::token_mask(Run<T> &run, MaskPlace place, Input of,
                                                 Buffer<std::uint8_t> &copy) const {
  const MaskValue *mask = this->mask(run, place);
  if (mask == nullptr)
    return nullptr;
  Dims dims = this->input(run, of).dims;
  dims.pop_back();
  if (order_.empty() && mask->dims == dims)
    return mask->data.data();
  std::uint8_t *bytes = fit(copy, count(dims));
  gather(mask->data.data(), mask->dims, order_, dims,
         of == kQuery ? "the mask of the query" : "the mask of the value", bytes);
  return bytes;
}

// The dense part. Axes that it lacks stand just before queries and keys; within
// batch, free axes, heads, queries, keys either all sizes are there or all are
// 1, else it is written out.
template <class T> void AttentionNode<T>::read_attention_mask(Run<T> &run, Mask &mask) {
  const MaskValue *given = this->mask(run, kAttentionMask);
  if (given == nullptr)
    return;
  const std::size_t rank = score_dims_.size(), pairs = 2 * static_cast<std::size_t>(attended_);
  if (given->dims.size() < pairs || given->dims.size() > rank)
    throw std::invalid_argument("the attention mask has a wrong number of dimensions");
  Dims dims = given->dims;
  dims.insert(dims.end() - static_cast<std::ptrdiff_t>(pairs), rank - dims.size(), 1);
  const std::size_t heads = rank - pairs - 1;
  const std::size_t ends[] = {1, heads, heads + 1, rank - pairs / 2, rank};
  Index *const strides[] = {&mask.dense_batch, &mask.dense_free, &mask.dense_head,
                            &mask.dense_query, &mask.dense_key};
  bool partial = false;
  for (std::size_t group = 0, first = 0; group < 5; first = ends[group++]) {
    bool full = true, one = true;
    for (std::size_t i = first; i < ends[group]; ++i) {
      if (dims[i] != score_dims_[i] && dims[i] != 1)
        throw std::invalid_argument("the attention mask does not fit the shape of the scores");
      full = full && dims[i] == score_dims_[i];
      one = one && dims[i] == 1;
    }
    partial = partial || !(full || one);
  }
  mask.dense = given->data.data();
  if (partial) {
    mask.dense = fit(dense_bytes_, score_count());
    gather(given->data.data(), dims, {}, score_dims_, "the attention mask", dense_bytes_.data());
    dims = score_dims_;
  }
  Index stride = 1;
  for (std::size_t group = 5; group-- > 0;) {
    const std::size_t first = group == 0 ? 0 : ends[group - 1];
    const Index size = product(dims, first, ends[group]);
    *strides[group] = size == 1 ? 0 : stride;
    stride *= size;
  }
}

template <class T> AttentionOptions AttentionNode<T>::forward_options(Run<T> &run, double scale) {
  batch_offset_ = run.batch_offset;
  return options(run, scale);
}

template <class T> AttentionOptions AttentionNode<T>::options(Run<T> &run, double scale) {
  AttentionOptions options;
  options.scale = scale;
  options.dropout = dropout_;
  if (!run.training)
    options.dropout.rate = 0;
  options.dropout.call = run.call;
  options.dropout.batch_offset = batch_offset_;

  Mask &mask = options.mask;
  mask.causal = causal_;
  mask.window = window_;
  mask.free = shape_.free;
  mask.queries = shape_.queries;
  mask.keys = shape_.keys;
  mask.query = token_mask(run, kQueryMask, kQuery, query_bytes_);
  mask.key = token_mask(run, kValueMask, kValue, value_bytes_);
  if (const std::uint8_t *key = token_mask(run, kKeyMask, kKey, key_bytes_)) {
    if (mask.key != nullptr && mask.key != key) {
      const Index size = checked_product(shape_.elements(), shape_.keys);
      const std::uint8_t *value = mask.key;
      std::uint8_t *both = fit(value_bytes_, size);
      for (Index i = 0; i < size; ++i)
        both[i] = value[i] != 0 && key[i] != 0;
      key = both;
    }
    mask.key = key;
  }
  read_attention_mask(run, mask);
  return options;
}

template <class T> Index AttentionNode<T>::score_count() const { return count(score_dims_); }

template <class T> ScoreView AttentionNode<T>::score_view(Run<T> &run) {
  ScoreView view;
  if (scores_ == Scores::none)
    return view;
  Value<T> &scores = this->output(run, 1);
  if constexpr (sizeof(T) == sizeof(double))
    view.data = scores.data.data();
  else
    view.data = fit(written_scores_, scores.data.size());
  view.mean_over_heads = scores_ == Scores::mean;
  view.key = 1;
  view.query = shape_.keys;
  view.head = shape_.queries * shape_.keys;
  view.free = view.head * (view.mean_over_heads ? 1 : shape_.heads);
  view.batch = view.free * shape_.free;
  return view;
}

template <class T> void AttentionNode<T>::finish_scores(Run<T> &run) {
  if (scores_ == Scores::none || sizeof(T) == sizeof(double))
    return;
  T *to = this->output(run, 1).data.data();
  for (Index i = 0; i < written_scores_.size(); ++i)
    to[i] = static_cast<T>(written_scores_[i]);
}

template <class T> T *AttentionNode<T>::output_gradient(Run<T> &run) {
  Value<T> &output = this->output(run);
  if (output.has_gradient)
    return output.gradient.data();
  std::fill_n(fit(zeros_, output.data.size()), output.data.size(), T(0));
  return zeros_.data();
}

template <class T> const T *AttentionNode<T>::scores_gradient(Run<T> &run) {
  if (scores_ == Scores::none || !this->output(run, 1).has_gradient)
    return nullptr;
  const T *given = this->output(run, 1).gradient.data();
  if (scores_ == Scores::all || shape_.heads == 1)
    return given;
  // every head has its share of the mean's
  const Index plane = shape_.queries * shape_.keys;
  T *to = fit(spread_, score_count());
  const T share = T(1) / static_cast<T>(shape_.heads);
  for (Index n = 0; n < shape_.elements(); ++n)
    for (Index h = 0; h < shape_.heads; ++h)
      for (Index i = 0; i < plane; ++i)
        to[(n * shape_.heads + h) * plane + i] = share * given[n * plane + i];
  return to;
}

template class AttentionNode<float>;
template class AttentionNode<double>;

} // namespace attentive
