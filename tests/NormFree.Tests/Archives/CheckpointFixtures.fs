/// Training checkpoints of PyTorch in memory: pickles of protocol 0 beside one storage.
module NormFree.Tests.Archives.CheckpointFixtures

open System
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open NormFree.Archives.PyTorch

let latin1 (text: string) = Encoding.Latin1.GetBytes text

/// A zip archive of torch.save with this pickle and one storage of two floats, 1 and 2.
let zipped level (pickle: string) =
    use stream = new MemoryStream()

    using (new ZipArchive(stream, ZipArchiveMode.Create, true)) (fun zip ->
        for name, content in
            [ "a/data.pkl", latin1 pickle
              "a/data/0", Array.collect (fun (value: float32) -> BitConverter.GetBytes value) [| 1.0f; 2.0f |] ] do
            use part = zip.CreateEntry(name, level).Open()
            part.Write(ReadOnlySpan content))

    stream.ToArray()

let file = zipped CompressionLevel.NoCompression

/// The pickle of a tensor of both elements, or of the first.
let tensorOf (count: int) =
    "ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI2\ntQI0\n"
    + $"(I{count}\nt(I1\ntI00\n(dtR"

/// A dictionary of these pickles.
let dictionary (entries: (string * string) list) =
    "(d" + String.Join("", [ for key, value in entries -> $"V{key}\n{value}s" ])

let weights = dictionary [ "w", tensorOf 2 ]
let read (bytes: byte[]) = PyTorchFile.Read(new MemoryStream(bytes), "damaged")

let chosen (name: string) (bytes: byte[]) = PyTorchFile.Read(new MemoryStream(bytes), "damaged", name)

let holdsWeights (file: PyTorchFile) =
    let tensor = Seq.exactlyOne file.Tensors
    Expect.equal tensor.Name "w" "name"
    Expect.equal (tensor.ToBytes()) (Array.append (BitConverter.GetBytes 1.0f) (BitConverter.GetBytes 2.0f)) "elements"

let small = dictionary [ "mean", tensorOf 1 ]
let two = dictionary [ "w", tensorOf 2; "v", tensorOf 1 ]
