/// PyTorch files that are damaged, malicious or followed by other bytes.
module NormFree.Tests.Archives.PyTorchDamageTests

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open NormFree.Archives.PyTorch
open NormFree.Tests
open NormFree.Tests.Formats
open NormFree.Formats.Safetensors
open NormFree.Tests.Archives.PyTorchFixtures

let private crafted elements offset size stride =
    zipOf
        [ "a/data.pkl", pickleOf elements offset size stride
          "a/data/0", Array.zeroCreate 16
          "a/version", ascii "3\n" ]

let private giant = "9223372036854775807"

let private malicious =
    [ "fewer elements than the pickle says", crafted "5" "0" "5" "1", [ "'t'"; "5 elements"; "16 bytes" ]
      "more elements than any file can have", crafted giant "0" "1" "1", [ "'t'"; giant ]
      "an offset outside the storage", crafted "4" "4" "1" "1", [ "outside its storage" ]
      "a negative offset", crafted "4" "-1" "1" "1", [ "negative" ]
      "a negative stride", crafted "4" "3" "2" "-1", [ "negative" ]
      "a negative size", crafted "4" "0" "-2" "1", [ "negative" ]
      "a shape whose product exceeds 64 bits", crafted "4" "0" $"{giant} 8" "0 0", [ "'t'"; "needs more than" ]
      "a shape whose product overflows to few elements",
      crafted "4" "0" "4294967296 4294967296" "1 1",
      [ "needs more than" ]
      "strides that overflow into the storage", crafted "4" "0" "3 2" $"{giant} 1", [ "outside its storage" ]
      "an element repeated a million times", crafted "4" "0" "1000000" "0", [ "needs more than"; "file's size" ]
      "a stride for every axis but one", crafted "4" "0" "2 2" "1", [ "2 sizes and 1 strides" ]
      "a hundred axes", crafted "4" "0" (String.replicate 100 "1 ") (String.replicate 100 "1 "), [ "100 sizes" ]
      "a number above 64 bits", crafted "4" (giant + "0") "1" "1", [ "'t'"; "not in PyTorch's format for tensors" ]
      "a missing storage", zipOf [ "a/data.pkl", pickleOf "4" "0" "4" "1" ], [ "'t'"; "storage '0' is not in the file" ]
      "a persistent id of another kind",
      zipOf [ "a/data.pkl", ascii "(dVt\nctorch._utils\n_rebuild_tensor_v2\n((Vmodule\nVx\ntQI0\n(t(tI00\n(dtRs." ],
      [ "'t'"; "not in PyTorch's format for storages" ]
      "a storage key that is a path",
      zipOf
          [ "a/data.pkl",
            (pickleOf "4" "0" "4" "1" |> Encoding.Latin1.GetString).Replace("V0\n", "V../../../etc/passwd\n")
            |> ascii ],
      [ "'../../../etc/passwd' is not in the file" ]
      "a call of a function",
      zipOf [ "a/data.pkl", ascii "cos\nsystem\n(Vecho no\ntR." ],
      [ "'os'.'system'"; "Nothing was imported or executed" ]
      "a whole module", fixture "module.pth", [ "'torch.nn.modules.linear'.'Linear'" ]
      "a list", fixture "list.pth", [ "a list of 1"; "state_dict" ]
      "a TorchScript program", fixture "script.pth", [ "TorchScript"; "state_dict" ]
      "two pickles", zipOf [ "a/data.pkl", [||]; "b/data.pkl", [||] ], [ "several data.pkl" ]
      "no pickle", zipOf [ "a/data/0", [||] ], [ "without data.pkl" ]
      "a duplicate entry", zipOf [ "a/x", [||]; "a/data.pkl", [||]; "a/x", [||] ], [ "'a/x'"; "twice" ]
      "an unknown byte order",
      zipOf [ "a/data.pkl", pickleOf "4" "0" "4" "1"; "a/byteorder", ascii "middle" ],
      [ "'middle'" ]
      "a duplicate key", zipOf [ "a/data.pkl", ascii "(dVk\nI1\nsVk\nI2\ns." ], [ "'k' occurs twice" ]
      "a key that is not a string", zipOf [ "a/data.pkl", ascii "(dI1\nI1\ns." ], [ "not a string" ]
      "nothing", [||], [ "empty" ]
      "a safetensors file", Array.append [| 72uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy |] (ascii "{}"), [ "safetensors" ]
      "text", ascii "model weights", [ "it is text"; "file of the weights" ] ]

/// A changed field of the end record, the directory or the first local header of types.pth.
let private patched (signature: uint32) (offset: int) (value: byte[]) =
    let bytes = fixture "types.pth"
    let mark = Array.zeroCreate 4
    BinaryPrimitives.WriteUInt32LittleEndian(Span mark, signature)
    let at = bytes.AsSpan().IndexOf(ReadOnlySpan mark)
    value.CopyTo(bytes, at + offset)
    bytes

let private archives =
    let ones n = Array.create n 0xffuy
    let directory, local, end64 = 0x02014b50u, 0x04034b50u, 0x06064b50u

    [ "an encrypted entry", patched directory 8 [| 1uy; 0uy |], [ "encrypted" ]
      "an entry longer than the archive",
      patched directory 20 [| 0uy; 0uy; 0uy; 0x7fuy; 0uy; 0uy; 0uy; 0x7fuy |],
      [ "outside" ]
      "an entry that overlaps the next one",
      patched directory 20 [| 0uy; 9uy; 0uy; 0uy; 0uy; 9uy; 0uy; 0uy |],
      [ "overlaps" ]
      "an entry with a wrong offset",
      patched directory 42 [| 1uy; 0uy; 0uy; 0uy |],
      [ "local header is not where the directory says" ]
      "a wrong checksum", patched directory 16 [| 1uy; 2uy; 3uy; 4uy |], [ "checksum" ]
      "a local header that points outside", patched local 28 [| 0xffuy; 0xffuy |], [ "outside" ]
      "a 64-bit count of all ones", patched end64 32 (ones 8), [ "claims -1 entries" ]
      "a 64-bit directory outside the file",
      patched end64 48 [| 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0x7fuy |],
      [ "outside the file" ]
      "several disks", patched end64 16 [| 1uy |], [ "disks" ]
      "no directory", Array.truncate 2000 (fixture "types.pth"), [ "no directory" ] ]

let private stream = lazy (fixture "types-stream.pth")

let private streams =
    [ "another magic number",
      (let bytes = Array.copy stream.Value in
       bytes[4] <- 0uy
       bytes),
      [ "magic number" ]
      "an end before the last storage", Array.truncate (stream.Value.Length - 1) stream.Value, [ "claims"; "remain" ]
      "bytes after the last storage", Array.append stream.Value [| 0uy |], [ "1 bytes follow" ] ]

let refuses =
    testList
        "rejects with a reason and a place"
        [ for what, bytes, words in malicious @ archives @ streams do
              test what {
                  let message = Mutation.refusal (fun () -> read bytes)
                  Expect.stringStarts message "damaged, " "the file"

                  for word in words do
                      Expect.stringContains message word "message"
              }

          for method', name in [ 12, "bzip2"; 14, "LZMA"; 93, "Zstandard"; 77, "method 77" ] do
              test $"an entry compressed by {name}, by its name" {
                  let message = Mutation.refusal (fun () -> read (patched 0x02014b50u 10 [| byte method'; 0uy |]))
                  Expect.stringContains message $"it is compressed by {name}, not by deflate" "message"
              }

          test "a folder" {
              Expect.stringContains (Mutation.refusal (fun () -> PyTorchFile.Open folder)) "folder" "message"
          } ]

/// Reads all tensors of a file.
let private readAll (bytes: byte[]) =
    for tensor in (read bytes).Tensors do
        tensor.ToBytes() |> ignore

/// The entries of an archive, to be damaged before their checksums are computed; otherwise the checksums would catch everything.
let private partsOf (bytes: byte[]) =
    use zip = new ZipArchive(new MemoryStream(bytes))

    [ for entry in zip.Entries do
          use part = entry.Open()
          use copy = new MemoryStream()
          part.CopyTo copy
          entry.FullName, copy.ToArray() ]

let private damagedInside (name: string) =
    let parts = partsOf (fixture name)

    let pickle =
        parts |> List.find (fun (name, _) -> name.EndsWith("data.pkl", StringComparison.Ordinal)) |> snd

    let others =
        parts |> List.filter (fun (name, _) -> not (name.EndsWith("data.pkl", StringComparison.Ordinal)))

    pickle,
    fun (damaged: byte[]) ->
        zipOf (
            ("a/data.pkl", damaged)
            :: [ for name, content in others -> "a" + name.Substring(name.IndexOf '/'), content ]
        )

let trailing =
    test "reads a zip with other bytes after its end, as torch.load does" {
        let bytes = fixture "types.pth"
        let names (bytes: byte[]) = [ for tensor in (read bytes).Tensors -> tensor.Name ]
        Expect.equal (names (Array.append bytes (Array.zeroCreate 100))) (names bytes) "tensors"
    }

let survives =
    testList
        "survives"
        [ for format, seed, names in
              [ "zip", 11, [ "types.pth"; "views.pth"; "unsigned.pth"; "bare.pth" ]
                "stream", 12, [ "types-stream.pth"; "views-stream.pth"; "bare-stream.pth" ] ] do
              test $"damaged files of the {format} format" {
                  let rejected = Mutation.survive seed 200L (List.map fixture names) readAll
                  Expect.isGreaterThan rejected (Mutation.rounds / 3) "rejected"
              }

          test "damaged pickles in archives with correct checksums" {
              let pickle, archive = damagedInside "views.pth"
              let rejected = Mutation.surviveInside archive 13 200L [ pickle ] readAll
              Expect.isGreaterThan rejected (Mutation.rounds / 3) "rejected"
          } ]
