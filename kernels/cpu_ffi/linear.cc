// Linear maps and feed-forward layers of 16-bit integers, as XLA FFI handlers. See linear.py.
//
// A piece of work is a block of rows, which goes through all products of a call alone, from cache to cache.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "handler.h"
#include "join.h"
#include "parallel.h"
#include "product.h"

namespace keytokens {
namespace {

// Calls f(first row, number of rows) for blocks of at most kRowBlock rows, as many and as much for each thread of the
// pool: whoever is done waits for the others.
template <class F>
void ForRowBlocks(ffi::ThreadPool& pool, int64_t rows, const F& f) {
  const int64_t threads = std::max<int64_t>(1, pool.num_threads());
  const Split split(rows, CeilDiv(CeilDiv(rows, kRowBlock), threads) * threads);
  Parallel(pool, split.pieces, [&](int64_t piece) { f(split.First(piece), split.Size(piece)); });
}

Matrix ToMatrix(int64_t dim, const S16& panels, const F32& bias) {
  return {Cut(dim), panels.typed_data(), bias.typed_data(), static_cast<int64_t>(bias.element_count())};
}

const float* Given(const F32& array) { return array.element_count() ? array.typed_data() : nullptr; }

Join ToJoin(const F32& added, const F32& weight, const F32& bias, float eps) {
  return {Given(added), Given(weight), Given(bias), eps};
}

ffi::Error Linear(ffi::ThreadPool pool, int64_t activation, float eps, F32 x, F32 added, F32 norm_weight,
                  F32 norm_bias, ffi::RemainingArgs parts, ffi::RemainingRets results) {
  const Join join = ToJoin(added, norm_weight, norm_bias, eps);
  const int64_t dim = x.dimensions()[1];
  std::vector<Matrix> matrices;
  std::vector<float*> outs;
  for (size_t i = 0; i < results.size(); i++) {
    const auto panels = parts.get<S16>(2 * i);
    const auto bias = parts.get<F32>(2 * i + 1);
    auto out = results.get<F32>(i);
    if (!panels || !bias || !out) return ffi::Error::InvalidArgument("panels are int16, biases and results float32");
    matrices.push_back(ToMatrix(dim, *panels, *bias));
    outs.push_back((*out)->typed_data());
  }
  ForRowBlocks(pool, x.dimensions()[0], [&](int64_t first, int64_t n) {
    thread_local Rounded rounded;
    RoundRows(x.typed_data() + first * dim, n, Cut(dim), rounded);
    for (size_t i = 0; i < matrices.size(); i++) {
      float* out = outs[i] + first * matrices[i].size;
      Multiply(rounded, n, matrices[i], static_cast<Activation>(activation), out);
      Apply(join, first, n, matrices[i].size, out);
    }
  });
  return ffi::Error::Success();
}

ffi::Error FeedForward(ffi::ThreadPool pool, int64_t activation, float eps, F32 x, F32 added, F32 norm_weight,
                       F32 norm_bias, S16 up_panels, F32 up_bias, S16 down_panels, F32 down_bias, S16 gate_panels,
                       F32 gate_bias, ffi::ResultBuffer<ffi::F32> out) {
  const Join join = ToJoin(added, norm_weight, norm_bias, eps);
  const int64_t dim = x.dimensions()[1];
  const Matrix up = ToMatrix(dim, up_panels, up_bias), gate = ToMatrix(dim, gate_panels, gate_bias);
  const Matrix down = ToMatrix(up.size, down_panels, down_bias);
  const Activation first_activation = static_cast<Activation>(activation);
  ForRowBlocks(pool, x.dimensions()[0], [&](int64_t first, int64_t n) {
    thread_local Rounded before, inside;
    alignas(64) float y[kRowBlock][kPanel] = {}, gates[kRowBlock][kPanel];
    RoundRows(x.typed_data() + first * dim, n, up.cut, before);
    Fit(down.cut, inside);
    for (int64_t p = 0; p < down.cut.blocks; p++) {
      MultiplyPanel(before, n, up, p, gate.size ? kNone : first_activation, {y[0], kPanel});
      if (gate.size) {
        MultiplyPanel(before, n, gate, p, first_activation, {gates[0], kPanel});
        for (int64_t row = 0; row < n; row++)
          for (int64_t j = 0; j < kPanel; j++) y[row][j] *= gates[row][j];
      }
      RoundBlock(y[0], kPanel, n, down.cut, p, inside);
    }
    float* rows = out->typed_data() + first * down.size;
    Multiply(inside, n, down, kNone, rows);
    Apply(join, first, n, down.size, rows);
  });
  return ffi::Error::Success();
}

}  // namespace
}  // namespace keytokens

KEYTOKENS_EXPORT XLA_FFI_Error* KeytokensLinear(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    KeytokensLinear, keytokens::Linear,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<int64_t>("activation").Attr<float>("eps").Arg<F32>().Arg<F32>()
        .Arg<F32>().Arg<F32>().RemainingArgs().RemainingRets());

KEYTOKENS_EXPORT XLA_FFI_Error* KeytokensFeedForward(XLA_FFI_CallFrame*);
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    KeytokensFeedForward, keytokens::FeedForward,
    ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Attr<int64_t>("activation").Attr<float>("eps").Arg<F32>().Arg<F32>()
        .Arg<F32>().Arg<F32>().Arg<S16>().Arg<F32>().Arg<S16>().Arg<F32>().Arg<S16>().Arg<F32>().Ret<F32>());
