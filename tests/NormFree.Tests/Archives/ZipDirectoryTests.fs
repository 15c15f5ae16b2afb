/// Directories of zip archives: fields of zip64, comments, and damage.
module NormFree.Tests.Archives.ZipDirectoryTests

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open Expecto
open NormFree.Archives.PyTorch
open NormFree.Tests.Formats
open NormFree.Tests.Archives.PyTorchFixtures

let private four =
    Array.collect (fun (value: float32) -> BitConverter.GetBytes value) [| 1.0f; 2.0f; 3.0f; 4.0f |]

let private archive = zipOf [ "a/data.pkl", pickleOf "4" "0" "4" "1"; "a/data/0", four ]

let private holds (bytes: byte[]) = Expect.equal ((Seq.exactlyOne (read bytes).Tensors).ToBytes()) four "elements"

let private indexOf (signature: uint32) (bytes: byte[]) =
    let mark = Array.zeroCreate 4
    BinaryPrimitives.WriteUInt32LittleEndian(Span mark, signature)
    bytes.AsSpan().IndexOf(ReadOnlySpan mark)

let private entryMark, private endMark = 0x02014b50u, 0x06054b50u

/// Changes fields at offsets from a signature: 2, 4 or 8 bytes each.
let private patched signature (fields: (int * byte[]) list) =
    let bytes = Array.copy archive
    let at = indexOf signature bytes

    for offset, value in fields do
        value.CopyTo(bytes, at + offset)

    bytes

let private two (value: int) = BitConverter.GetBytes(uint16 value)
let private number (value: int64) = BitConverter.GetBytes(uint32 value)
let private wide (value: int64) = BitConverter.GetBytes value
let private ones = Array.create 4 255uy

/// The first entry, with these three numbers in its 32-bit fields (size, packed size, offset) and this extra field.
let private withExtra size packed offset (extra: byte[]) =
    let at = indexOf entryMark archive
    let name = int (BitConverter.ToUInt16(archive, at + 28))
    let entry = Array.copy archive[at .. at + 45 + name]
    (size: byte[]).CopyTo(entry, 24)
    (packed: byte[]).CopyTo(entry, 20)
    (offset: byte[]).CopyTo(entry, 42)
    (two extra.Length).CopyTo(entry, 30)
    let rest = archive[at + 46 + name ..]
    let changed = Array.concat [ archive[.. at - 1]; entry; extra; rest ]
    let last = indexOf endMark changed
    let length = BitConverter.ToUInt32(changed, last + 12)
    (number (int64 length + int64 extra.Length)).CopyTo(changed, last + 12)
    changed

let private size = int64 (pickleOf "4" "0" "4" "1").Length
let private field kind (content: byte[]) = Array.concat [ two kind; two content.Length; content ]

let private valid =
    [ "three numbers of 64 bits", withExtra ones ones ones (field 1 (Array.concat [ wide size; wide size; wide 0L ]))
      "another field before them",
      withExtra
          ones
          ones
          ones
          (Array.append (field 7 [| 1uy |]) (field 1 (Array.concat [ wide size; wide size; wide 0L ])))
      "two numbers of 64 bits", withExtra ones ones (number 0L) (field 1 (Array.append (wide size) (wide size)))
      "a field with numbers that nothing needs", withExtra (number size) (number size) (number 0L) (field 1 (wide 9L))
      "a field that is cut, and nothing needs",
      withExtra (number size) (number size) (number 0L) [| 1uy; 0uy; 99uy; 0uy; 5uy |]
      "three bytes of a field", withExtra (number size) (number size) (number 0L) [| 1uy; 0uy; 0uy |] ]

let private damaged =
    [ "numbers of 64 bits that are missing", withExtra ones ones ones (field 1 (wide size)), "outside the file"
      "a negative size", withExtra ones (number size) (number 0L) (field 1 (wide -1L)), "outside the file"
      "a negative packed size",
      withExtra ones ones (number 0L) (field 1 (Array.append (wide size) (wide -1L))),
      "outside the file"
      "a negative offset",
      withExtra ones ones ones (field 1 (Array.concat [ wide size; wide size; wide -1L ])),
      "outside the file"
      "an offset after the directory", patched entryMark [ 42, number 1_000_000L ], "outside the file"
      "sizes that differ without compression", patched entryMark [ 24, number 3L ], "bytes in the archive and 3 outside"
      "an entry of another signature", patched entryMark [ 0, [| 1uy |] ], "the directory of the archive is damaged"
      "a name longer than the directory",
      patched entryMark [ 28, two 60_000 ],
      "the directory of the archive is damaged"
      "a directory that begins after the file",
      patched endMark [ 16, number 1_000_000L ],
      "the directory of the archive is outside the file"
      "a directory longer than the file",
      patched endMark [ 12, number 1_000_000L ],
      "the directory of the archive is outside the file"
      "more entries than fit", patched endMark [ 10, two 60_000 ], "claims 60000 entries"
      "the first of several disks", patched endMark [ 4, two 1 ], "spans several disks"
      "a directory on another disk", patched endMark [ 6, two 1 ], "spans several disks"
      "an end in the middle of an entry", patched endMark [ 12, number 100L ], "the directory of the archive is damaged"
      "a directory of 20 bytes",
      (let bytes = Array.copy archive
       let last = indexOf endMark bytes
       (number (int64 last - 20L)).CopyTo(bytes, last + 16)
       (number 20L).CopyTo(bytes, last + 12)
       bytes),
      "claims 2 entries"
      "nothing but a signature", "PK\003\004"B, "the archive has no directory" ]

let private end64 = 0x06064b50u

/// The fixture has the records of zip64.
let private patched64 signature offset (value: byte[]) =
    let bytes = fixture "types.pth"
    value.CopyTo(bytes, indexOf signature bytes + offset)
    bytes

let private damaged64 =
    [ "a locator that points elsewhere",
      patched64 0x07064b50u 8 (wide 5L),
      "the zip64 end record is not where the locator says"
      "a locator that points before the file", patched64 0x07064b50u 8 (wide -5L), "the archive ends too early"
      "a locator that points after the file",
      patched64 0x07064b50u 8 (wide 1_000_000_000L),
      "the archive ends too early"
      "several disks in zip64", patched64 end64 20 [| 1uy |], "spans several disks"
      "a negative begin", patched64 end64 48 (wide -1L), "outside the file"
      "a negative 64-bit size", patched64 end64 40 (wide -1L), "outside the file"
      "a negative count", patched64 end64 32 (wide -2L), "claims -2 entries" ]

/// A file that is compressed, with a change of its packed bytes or its sizes.
let private deflated (change: byte[] -> int -> unit) =
    use stream = new MemoryStream()

    using (new ZipArchive(stream, ZipArchiveMode.Create, true)) (fun zip ->
        for name, content in [ "a/data.pkl", pickleOf "4" "0" "4" "1"; "a/data/0", four ] do
            use part = zip.CreateEntry(name, CompressionLevel.Optimal).Open()
            part.Write(ReadOnlySpan content))

    let bytes = stream.ToArray()
    change bytes (indexOf entryMark bytes)
    bytes

let private inflating =
    [ test "compressed entries are read" { holds (deflated (fun _ _ -> ())) }

      for what, change in
          [ "bytes that are no deflate stream", (fun (bytes: byte[]) _ -> bytes.AsSpan(30 + 10, 8).Fill 255uy)
            "a size above the content's", (fun bytes at -> (number (size + 1L)).CopyTo(bytes, at + 24))
            "a size below the content's", (fun bytes at -> (number (size - 1L)).CopyTo(bytes, at + 24)) ] do
          test $"a compressed entry is refused that has {what}" {
              Expect.stringContains
                  (Mutation.refusal (fun () -> read (deflated change)))
                  "it does not decompress to its"
                  "message"
          } ]

let private local =
    [ for what, fields, part in
          [ "a name that reaches after the file", [ 26, two 60_000 ], "it is outside the file"
            "an extra field that reaches after the file", [ 28, two 60_000 ], "it is outside the file"
            "another signature", [ 0, [| 1uy |] ], "it is not a PyTorch file" ] do
          test $"a local header is refused that has {what}" {
              Expect.stringContains (Mutation.refusal (fun () -> read (patched 0x04034b50u fields))) part "message"
          }

      test "an entry whose local header does not fit before the directory is refused" {
          let at = int64 (indexOf entryMark archive) - 10L
          let bytes = patched entryMark [ 20, number 0L; 24, number 0L; 42, number at ]
          Expect.stringContains (Mutation.refusal (fun () -> read bytes)) "overlaps the next entry" "message"
      } ]

let tests =
    testList
        "zip directories"
        [ for what, bytes in valid do
              test $"read: {what}" { holds bytes }
          for what, bytes, part in damaged @ damaged64 do
              test $"refused: {what}" { Expect.stringContains (Mutation.refusal (fun () -> read bytes)) part "message" }
          yield! inflating
          yield! local
          test "a comment is read over, and one that is too long for the file is not an end" {
              let comment = "PK\005\006 and text"B
              let commented = Array.append (patched endMark [ 20, two comment.Length ]) comment
              holds commented
              holds (Array.append archive (Array.append "PK\005\006"B (Array.create 18 255uy)))
              // An end record in an entry is before the archive's own.
              let within = Array.append "PK\005\006"B (Array.zeroCreate 18)
              let parts = [ "a/data.pkl", pickleOf "4" "0" "4" "1"; "a/data/0", four; "a/x", within ]
              holds (Array.append (zipOf parts) (Array.zeroCreate 5))
          }
          for method', name in [ 9, "Deflate64"; 95, "xz" ] do
              test $"an entry compressed by {name} is refused by its name" {
                  let bytes = patched entryMark [ 10, two method' ]
                  Expect.stringContains (Mutation.refusal (fun () -> read bytes)) name "message"
              } ]
