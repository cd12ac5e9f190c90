/** SQLite as a table of messages, synced at each commit: the database, and one transaction that inserts a batch. */
import { join } from 'node:path'

export async function openSqlite(folder, { lanes, bytes }) {
  const { default: Database } = await import('better-sqlite3')
  const database = new Database(join(folder, 'bench.db'))
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = FULL')
  database.exec('CREATE TABLE message (id INTEGER PRIMARY KEY, body BLOB NOT NULL)')
  const insert = database.prepare('INSERT INTO message (body) VALUES (?)')
  const body = Buffer.alloc(bytes, 'x')
  const insertBatch = database.transaction(() => {
    for (let lane = 0; lane < lanes; lane++) insert.run(body)
  })
  return { database, insertBatch }
}
