// The search engine gives -, +, :, ~, ^ and * in a query a meaning, and fails on options such as --held-out. Its index splits words at dots and
// parentheses, but it does not split queries there: bn-free:0.3 would find nothing. Queries are searched as the index's words.
const asWords = (text) => text.replace(/[~^*:.()]/g, ' ').replace(/(^|\s)[-+]+/g, '$1')

export default {
  start: () => {
    const box = document.querySelector('#search-query')
    const value = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')

    if (box) {
      Object.defineProperty(box, 'value', {
        configurable: true,
        get() { return asWords(value.get.call(this)) },
        set(text) { value.set.call(this, text) }
      })
    }
  }
}
