/** Holds the folder that it is told, with one message in it, until it is killed. */
import { NodeDisk } from '../../src/store/node-disk.ts'
import { Store } from '../../src/store/store.ts'
import { declareAll, entryOf } from './world.ts'

const { store } = await Store.open(new NodeDisk(process.argv[2] ?? ''))
declareAll(store)
store.published([entryOf({ seq: 1 }, 'from the other process')], 0)
await store.whenSynced()
process.stdout.write('held\n')
setInterval(() => undefined, 1000)
