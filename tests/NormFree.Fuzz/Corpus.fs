/// The stored inputs of each target: tests/fixtures/fuzz/TARGET.zip.
module NormFree.Fuzz.Corpus

open System
open System.IO
open System.IO.Compression
open System.Security.Cryptography

let all: Contract.Target list =
    TensorTargets.targets @ ArchiveTargets.targets @ DataTargets.targets @ RunTargets.targets

let find name =
    match all |> List.tryFind (fun target -> target.Name = name) with
    | Some target -> target
    | None ->
        let names = all |> List.map _.Name |> String.concat ", "
        failwith $"There is no target '{name}'. Targets: {names}."

let private path folder (target: Contract.Target) = Path.Combine(folder, target.Name + ".zip")

/// The stored inputs, smallest first.
let read folder target : byte[] list =
    let path = path folder target

    if File.Exists path then
        use zip = ZipFile.OpenRead path

        [ for entry in zip.Entries do
              use stream = entry.Open()
              use copy = new MemoryStream()
              stream.CopyTo copy
              copy.ToArray() ]
    else
        []

let nameOf (bytes: byte[]) = Convert.ToHexStringLower(SHA256.HashData bytes).Substring(0, 16)

/// Bytes of a stored file; the smallest inputs that fit are kept.
let private maxFileBytes = 24 * 1024

let private archive (inputs: byte[] list) =
    use stream = new MemoryStream()

    using (new ZipArchive(stream, ZipArchiveMode.Create, true)) (fun zip ->
        for bytes in inputs do
            let entry = zip.CreateEntry(nameOf bytes, CompressionLevel.SmallestSize)
            entry.LastWriteTime <- DateTimeOffset(1980, 1, 1, 0, 0, 0, TimeSpan.Zero)
            use part = entry.Open()
            part.Write(ReadOnlySpan bytes))

    stream.ToArray()

/// Stores inputs, smallest first. Equal inputs give equal bytes.
let write folder target (inputs: byte[] list) =
    let sorted = inputs |> List.distinct |> List.sortBy (fun bytes -> bytes.Length, nameOf bytes)
    let packed = Seq.initInfinite (fun i -> archive (List.truncate (sorted.Length - i) sorted))
    Directory.CreateDirectory folder |> ignore
    File.WriteAllBytes(path folder target, packed |> Seq.find (fun bytes -> bytes.Length <= maxFileBytes))
