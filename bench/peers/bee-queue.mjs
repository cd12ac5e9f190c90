/** bee-queue as its documentation has it for speed: no events, no jobs kept in memory, finished ones removed. */
import BeeQueue from 'bee-queue'

export async function beeQueue({ url }) {
  const settings = {
    redis: { url },
    removeOnSuccess: true,
    sendEvents: false,
    getEvents: false,
    storeJobs: false,
    activateDelayedJobs: false,
  }
  const queue = new BeeQueue('bench', { ...settings, isWorker: false })
  await queue.ready()
  return {
    send: (data) => queue.createJob(data).save(),
    async sendMany(list) {
      const refused = await queue.saveAll(list.map((data) => queue.createJob(data)))
      if (refused.size > 0) throw new Error(`bee-queue refused ${refused.size} jobs`)
    },
    async work({ concurrency, handle }) {
      const worker = new BeeQueue('bench', settings)
      await worker.ready()
      worker.process(concurrency, async (job) => handle(job.data))
      return () => worker.close()
    },
    close: () => queue.close(),
  }
}
