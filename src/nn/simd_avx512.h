// Sixteen lanes in one AVX-512 register: the same operations as simd_portable.h. Included inside an unnamed
// namespace.

using Vec = __m512;
using Mask = __mmask16;
using Index = __m512i;
using Bits = __m512i;

inline Vec set1(float x) { return _mm512_set1_ps(x); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline __m512i load_halves(const Bf16* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vec load(const Bf16* p) { return _mm512_castsi512_ps(_mm512_slli_epi32(load_halves(p), 16)); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec root(Vec a) { return _mm512_sqrt_ps(a); }
inline Vec mul_add(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Mask greater(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
inline Vec select(Mask m, Vec yes, Vec no) { return _mm512_mask_mov_ps(no, m, yes); }

inline Index index_of(uint8_t k) { return _mm512_set1_epi32(k); }
inline Index select(Mask m, Index yes, Index no) { return _mm512_mask_mov_epi32(no, m, yes); }
inline Index load_index(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void store_index(uint8_t* p, Index k) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(k));
}
inline Mask equals(Index k, uint8_t value) { return _mm512_cmpeq_epi32_mask(k, _mm512_set1_epi32(value)); }

inline void add_to(double* sums, Vec v) {
  const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
  const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
  _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
  _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
}

inline Bits load_element(const float* first, const float*) { return _mm512_loadu_si512(first); }
inline Bits load_element(const Bf16* first, const Bf16* second) {
  const __m512i low = load_halves(first);
  return second ? _mm512_or_si512(low, _mm512_slli_epi32(load_halves(second), 16)) : low;
}
inline void store_bits(uint32_t* to, Bits b) { _mm512_storeu_si512(to, b); }
inline void store_halves(uint32_t* low, uint32_t* high, Bits b) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(low), _mm512_castsi512_si256(b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(high), _mm512_extracti64x4_epi64(b, 1));
}
inline Bits load_bits(const uint32_t* p) { return _mm512_loadu_si512(p); }

template <class T>
inline Vec dot(Vec sum, uint32_t a, Bits b) {
  const __m512i s = _mm512_set1_epi32(static_cast<int>(a));
#ifdef __AVX512BF16__
  if constexpr (sizeof(T) == 2)
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(s), reinterpret_cast<__m512bh>(b));
#endif
  return _mm512_fmadd_ps(_mm512_castsi512_ps(s), _mm512_castsi512_ps(b), sum);
}

// lane k: k * stride.
inline __m512i strided(int stride) {
  return _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                            _mm512_set1_epi32(stride));
}
inline void transpose(const float* from, float* to) {
  const __m512i column = strided(16);
  for (int c = 0; c < 16; ++c) _mm512_storeu_ps(to + c * 16, _mm512_i32gather_ps(column, from + c, 4));
}

#ifdef __AVX512BF16__
inline __m256i to_halves(Vec v) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)); }
inline void store(Bf16* p, Vec v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_halves(v)); }
inline void store_row_pair(Bf16* to, Bf16* row0, Bf16* row1, Vec a, Vec b) {
  const __m256i low = to_halves(a), high = to_halves(b);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(row0), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(row1), high);
  _mm512_storeu_si512(
      to, _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16)));
}
inline void store_column_pairs(const Bf16* rows, Bf16* to) {
  const __m512i column = strided(8);
  for (int k = 0; k < 8; ++k)
    _mm512_storeu_si512(to + k * 32,
                        _mm512_i32gather_epi32(column, reinterpret_cast<const int*>(rows) + k, 4));
}
#endif
