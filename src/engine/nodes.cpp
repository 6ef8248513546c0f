#include "nodes.h"

#include <stdexcept>

namespace attentive {

double NodeOptions::number(const std::string &name, double otherwise) const {
  const auto found = numbers.find(name);
  return found == numbers.end() || found->second.empty() ? otherwise : found->second[0];
}
std::vector<double> NodeOptions::list(const std::string &name) const {
  const auto found = numbers.find(name);
  return found == numbers.end() ? std::vector<double>() : found->second;
}
std::string NodeOptions::text(const std::string &name, const std::string &otherwise) const {
  const auto found = texts.find(name);
  return found == texts.end() ? otherwise : found->second;
}

template <class T>
std::unique_ptr<Node<T>> make_node(const std::string &op, NodeLinks links,
                                   const NodeOptions &options) {
  static const std::map<std::string, NodeMaker<T>> makers = {
      {"activation", make_activation_node<T>},
      {"activity_penalty", make_activity_penalty_node<T>},
      {"additive_attention", make_additive_attention_node<T>},
      {"argsort", make_argsort_node<T>},
      {"batch_normalization", make_batch_normalization_node<T>},
      {"binary", make_binary_node<T>},
      {"cast", make_cast_node<T>},
      {"compare", make_compare_node<T>},
      {"concatenate", make_concatenate_node<T>},
      {"constant", make_constant_node<T>},
      {"convolution_1d", make_convolution_node<T>},
      {"cumsum", make_cumsum_node<T>},
      {"dense", make_dense_node<T>},
      {"dot_attention", make_dot_attention_node<T>},
      {"dropout", make_dropout_node<T>},
      {"embedding", make_embedding_node<T>},
      {"fill", make_fill_node<T>},
      {"fold_steps", make_fold_steps_node<T>},
      {"function", make_function_node<T>},
      {"global_average_pooling_1d", make_average_pooling_node<T>},
      {"global_max_pooling_1d", make_max_pooling_node<T>},
      {"layer_normalization", make_layer_normalization_node<T>},
      {"mask_and", make_mask_and_node<T>},
      {"mask_concatenate", make_mask_concatenate_node<T>},
      {"mask_fold", make_mask_fold_node<T>},
      {"mask_or", make_mask_or_node<T>},
      {"mask_value", make_mask_value_node<T>},
      {"matmul", make_matmul_node<T>},
      {"merge", make_merge_node<T>},
      {"multi_head_attention", make_multi_head_node<T>},
      {"noise", make_noise_node<T>},
      {"pad_steps", make_pad_steps_node<T>},
      {"product", make_product_node<T>},
      {"reduce", make_reduce_node<T>},
      {"reshape", make_reshape_node<T>},
      {"select", make_select_node<T>},
      {"slice", make_slice_node<T>},
      {"step_mask", make_step_mask_node<T>},
      {"stop_gradient", make_stop_gradient_node<T>},
      {"take", make_take_node<T>},
      {"take_along", make_take_along_node<T>},
      {"token_mask", make_token_mask_node<T>},
      {"transpose", make_transpose_node<T>},
      {"unary", make_unary_node<T>},
      {"weight", make_weight_node<T>},
      {"where", make_where_node<T>},
      {"window_pooling_1d", make_window_pooling_node<T>},
  };
  const auto found = makers.find(op);
  if (found == makers.end())
    throw std::invalid_argument("there is no node \"" + op + "\"");
  return found->second(std::move(links), options);
}

template std::unique_ptr<Node<float>> make_node<float>(const std::string &, NodeLinks,
                                                       const NodeOptions &);
template std::unique_ptr<Node<double>> make_node<double>(const std::string &, NodeLinks,
                                                         const NodeOptions &);

} // namespace attentive
