/// PyTorch files of other programs, and crafted ones.
module NormFree.Tests.Archives.PyTorchFixtures

open System
open System.IO
open System.IO.Compression
open System.Text
open Expecto
open NormFree.Archives.PyTorch
open NormFree.Tests

let folder = Path.Combine(repository, "tests", "fixtures", "interop")

let fixturePath name = Path.Combine(folder, name)

let fixture name = File.ReadAllBytes(fixturePath name)

let read (bytes: byte[]) = PyTorchFile.Read(new MemoryStream(bytes), "damaged")

/// A zip archive of uncompressed files with correct checksums.
let zipOf (parts: (string * byte[]) list) =
    use stream = new MemoryStream()

    using (new ZipArchive(stream, ZipArchiveMode.Create, true)) (fun zip ->
        for name, content in parts do
            use part = zip.CreateEntry(name, CompressionLevel.NoCompression).Open()
            part.Write(ReadOnlySpan content))

    stream.ToArray()

let ascii (text: string) = Encoding.Latin1.GetBytes text

/// The pickle {'t': _rebuild_tensor_v2(storage of 4 floats, offset, size, stride, False, {})} with numbers as text, so that they can have any value.
let pickleOf (elements: string) (offset: string) (size: string) (stride: string) =
    let number (n: string) = $"I{n}\n"

    let tuple (numbers: string) =
        "("
        + String.Join("", numbers.Split(' ', StringSplitOptions.RemoveEmptyEntries) |> Array.map number)
        + "t"

    "(dVt\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\n"
    + number elements
    + "tQ"
    + number offset
    + tuple size
    + tuple stride
    + "I00\n(dtRs."
    |> ascii
