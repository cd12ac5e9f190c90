/** A growing list of sequence numbers: eight bytes each and nothing for the garbage collector to walk. */
const firstSlots = 64

export class SeqList {
  #seqs: Float64Array | undefined = undefined
  length = 0

  push(seq: number): void {
    let seqs = this.#seqs
    if (seqs === undefined || this.length === seqs.length) seqs = this.#grow()
    seqs[this.length] = seq
    this.length += 1
  }

  /** A view in ascending order; sorts in place. */
  sorted(): Float64Array {
    return this.#seqs === undefined ? new Float64Array(0) : this.#seqs.subarray(0, this.length).sort()
  }

  /** A view in the order they came. */
  values(): Float64Array {
    return this.#seqs === undefined ? new Float64Array(0) : this.#seqs.subarray(0, this.length)
  }

  append(more: SeqList): void {
    for (const seq of more.values()) this.push(seq)
  }

  #grow(): Float64Array {
    const seqs = new Float64Array(this.#seqs === undefined ? firstSlots : this.#seqs.length * 2)
    if (this.#seqs !== undefined) seqs.set(this.#seqs)
    this.#seqs = seqs
    return seqs
  }
}
