/** P13: routes through one topic exchange with many bindings, and what they take of memory. No broker around it. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { importBuilt, rateOf } from './load.mjs'

export default {
  title: 'a topic exchange with 100,000 bindings to 10,000 queues; routes/s',
  options: { bindings: 100_000, queues: 10_000, messages: 3_000_000, warmup: 300_000 },
  quick: { messages: 500_000, warmup: 100_000 },
  contestants: {
    async millrace({ options }) {
      const { Router } = await importBuilt('routing/router.js')
      const { RouteSet } = await importBuilt('routing/route-set.js')
      const queues = Array.from({ length: options.queues }, () => ({ routeMark: 0 }))
      const keys = Array.from({ length: options.bindings }, (_, index) => flat(routingKey(index)))
      const before = heapMb()
      const router = new Router('topic')
      for (let index = 0; index < options.bindings; index++) {
        router.bind({ destination: queues[index % options.queues], routingKey: flat(bindingKey(index)) })
      }
      const memoryMb = Number((heapMb() - before).toFixed(1))

      const message = { properties: {} }
      const routes = new RouteSet()
      let random = 1
      const rate = await rateOf(options.messages, options.warmup, async (count) => {
        let found = 0
        for (let sent = 0; sent < count; sent++) {
          random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
          routes.begin()
          router.route(keys[random % keys.length], message, routes)
          found += routes.size
        }
        if (found !== count) throw new Error(`${count} routes found ${found} queues instead of one each`)
      })
      return { rate, 'bindings MB': memoryMb }
    },
  },
  targets: [
    { of: 'millrace', metric: 'rate', atLeast: 300_000 },
    { of: 'millrace', metric: 'bindings MB', atMost: 100 },
  ],
}

/** Four words; each is matched by one binding. */
function routingKey(index) {
  return `shop.region-${index % 100}.order.${index}`
}

/** Seven of ten are plain, two have a `*`, one begins with a `#`. */
function bindingKey(index) {
  if (index % 10 < 7) return routingKey(index)
  return index % 10 < 9 ? `shop.*.order.${index}` : `#.${index}`
}

/** One piece of text, as it comes off a socket: joined strings are trees until somebody reads them. */
function flat(text) {
  return Buffer.from(text).toString('latin1')
}

function heapMb() {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed / 2 ** 20
}
