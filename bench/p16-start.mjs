/** P16: from the start of `millrace serve` with an empty folder to an open AMQP connection. */
import { withServe } from './brokers.mjs'

export default {
  title: 'millrace serve: from the start of the process to the first open connection, empty folder; ms',
  options: {},
  quick: {},
  contestants: {
    millrace: ({ folder }) =>
      withServe(folder, async (_, { startMs }) => ({ 'start ms': Math.round(startMs) })),
  },
  targets: [{ of: 'millrace', metric: 'start ms', atMost: 300 }],
}
