/// Reading tar archives written by .NET.
module NormFree.Tests.Archives.TarTests

open System
open System.Formats.Tar
open System.IO
open Expecto
open NormFree.Archives.Tar
open NormFree.Archives.Zip
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats.Mutation

/// A stream that is not seekable, like the output of gzip.
let private unseekable (bytes: byte[]) =
    { new MemoryStream(bytes) with
        override _.CanSeek = false }

let private scan (stream: Stream) =
    let scan = TarScan(stream, "damaged")

    [ while scan.Next() do
          scan.Name, scan.Kind, (if scan.Kind = TarEntryKind.File then scan.Content() else [||]) ]

let private writing (format: TarEntryFormat) (entries: (string * TarEntryKind * byte[]) list) =
    use target = new MemoryStream()

    using (new TarWriter(target, format, true)) (fun writer ->
        for name, part, bytes in entries do
            let kind =
                match part, format with
                | TarEntryKind.Folder, _ -> TarEntryType.Directory
                | TarEntryKind.Link, _ -> TarEntryType.SymbolicLink
                | _, TarEntryFormat.V7 -> TarEntryType.V7RegularFile
                | _ -> TarEntryType.RegularFile

            let entry: TarEntry =
                match format with
                | TarEntryFormat.V7 -> V7TarEntry(kind, name)
                | TarEntryFormat.Ustar -> UstarTarEntry(kind, name)
                | TarEntryFormat.Pax -> PaxTarEntry(kind, name)
                | _ -> GnuTarEntry(kind, name)

            if part = TarEntryKind.Link then
                entry.LinkName <- "../target"

            if bytes.Length > 0 then
                entry.DataStream <- new MemoryStream(bytes)

            writer.WriteEntry entry)

    target.ToArray()

let private long = String.replicate 15 "a long name/" + "of a file.png"

/// A folder, a link, and files with lengths around those of a block and a chunk.
let private entries longest =
    [ "train/", TarEntryKind.Folder, [||]
      "train/link", TarEntryKind.Link, [||]
      for i, length in List.indexed [ 0; 1; 511; 512; 513; 65536; 70000 ] do
          $"train/cat/{i}.png", TarEntryKind.File, randomBytes i length
      longest, TarEntryKind.File, randomBytes 9 100 ]

let private formats =
    [ TarEntryFormat.V7, "short.png"
      TarEntryFormat.Ustar, "folder/" + String.replicate 90 "x"
      TarEntryFormat.Pax, long + "ü"
      TarEntryFormat.Gnu, long + "ü" ]

let private small longest =
    [ "a/", TarEntryKind.Folder, [||]
      longest, TarEntryKind.File, randomBytes 1 700
      "b", TarEntryKind.Link, [||] ]

let tests =
    testList
        "tar"
        [ for format, longest in formats do
              for kind, stream in [ "stream", unseekable; "file", (fun bytes -> new MemoryStream(bytes)) ] do
                  test $"{format}: a {kind} gives the entries that were written" {
                      let expected = entries longest
                      use stream = stream (writing format expected)
                      Expect.equal (scan stream) expected "names, kinds and bytes"
                  }

          test "a length above 8 GiB is read as a big-endian number" {
              let header = tarHeader "x" 0L '0'
              Array.blit [| 0x80uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 4uy; 0uy; 0uy; 0uy; 0uy |] 0 header 124 12
              Array.blit ("        "B) 0 header 148 8
              let sum = Convert.ToString(Array.sumBy int header, 8).PadLeft(6, '0')
              Array.blit (Text.Encoding.ASCII.GetBytes sum) 0 header 148 6
              let scan = TarScan(new MemoryStream(header), "x.tar")
              Expect.isTrue (scan.Next()) "there is a file"
              Expect.equal scan.Length (4L <<< 32) "length"
          }

          for kind in [ 'x'; 'g'; 'L'; 'K'; '0' ] do
              for size in [ 2_000_000_000L; 8_000_000_000L ] do
                  test $"an entry of type {kind} that claims {size} bytes is rejected without allocating them" {
                      let bytes = Array.concat [ tarHeader "x" size kind; Array.zeroCreate 2048 ]
                      let before = GC.GetAllocatedBytesForCurrentThread()
                      contains [ "damaged, byte" ] (refusal (fun () -> scan (unseekable bytes)))
                      Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) 1_000_000L "allocated"
                  }

          test "a sparse file in GNU format is rejected" {
              let bytes = Array.concat [ tarHeader "train/holes.png" 0L 'S'; tarEnd ]
              let text = refusal (fun () -> scan (unseekable bytes))
              contains [ "damaged, byte 0"; "'train/holes.png'"; "sparse"; "--sparse" ] text
          }

          test "a sparse file in pax format is rejected" {
              use target = new MemoryStream()

              using (new TarWriter(target, TarEntryFormat.Pax, true)) (fun writer ->
                  writer.WriteEntry(PaxTarEntry(TarEntryType.RegularFile, "whole.png"))
                  let records = dict [ "GNU.sparse.major", "1" ]
                  writer.WriteEntry(PaxTarEntry(TarEntryType.RegularFile, "holes.png", records)))

              contains [ "'holes.png'"; "sparse" ] (refusal (fun () -> scan (unseekable (target.ToArray()))))
          }

          test "the error for a sparse file gives its real name, even if another extended header follows" {
              let extended (record: string) =
                  let line = $"{record.Length + 4} {record}\n"
                  let block = Array.zeroCreate<byte> 512
                  Text.Encoding.ASCII.GetBytes(line).CopyTo(block, 0)
                  Array.append (tarHeader "pax" (int64 line.Length) 'x') block

              let bytes =
                  [ extended "GNU.sparse.name=train/holes.png"
                    extended "path=train/GNUSparseFile.0/holes.png"
                    tarHeader "x" 0L '0'
                    tarEnd ]
                  |> Array.concat

              let text = refusal (fun () -> scan (unseekable bytes))
              contains [ "'train/holes.png'"; "sparse" ] text
          }

          test "a header with a wrong checksum is rejected" {
              let bytes = writing TarEntryFormat.Ustar (small "b.png")
              bytes[3] <- bytes[3] + 1uy
              contains [ "byte 0"; "expected a tar header" ] (refusal (fun () -> scan (new MemoryStream(bytes))))
          }

          test "damaged archives give entries or one kind of error" {
              let originals = [ for format, longest in formats -> writing format (small longest) ]

              let rejected = survive 12 24L originals (fun bytes -> scan (new MemoryStream(bytes)) |> ignore)

              Expect.isGreaterThan rejected (rounds / 10) "rejected"
          }

          test "the checksum of zip archives equals that of a loop over bits" {
              Expect.equal (Crc32.Of(ReadOnlySpan "123456789"B)) 0xCBF43926u "the check value of its definition"

              let naive (bytes: byte[]) =
                  let mutable sum = 0xFFFFFFFFu

                  for value in bytes do
                      sum <- sum ^^^ uint32 value

                      for _ in 1..8 do
                          sum <- if sum &&& 1u = 1u then 0xEDB88320u ^^^ (sum >>> 1) else sum >>> 1

                  ~~~sum

              for length in 0..40 do
                  let bytes = randomBytes length length
                  Expect.equal (Crc32.Of(ReadOnlySpan bytes)) (naive bytes) $"{length} bytes"
          } ]
