/// Pickles, files of PyTorch, and archives of images.
module NormFree.Fuzz.ArchiveTargets

open System
open System.IO
open System.IO.Compression
open NormFree.Archives.Pickle
open NormFree.Archives.PyTorch
open NormFree.Archives.Tar
open NormFree.Data
open NormFree.Formats
open NormFree.Fuzz.Contract

/// Reads with each set of permitted names. A value that is read has a finite tree.
let private readPickle (bytes: byte[]) =
    let readWith globals =
        try
            Some(PickleReader.Read(new MemoryStream(bytes), "input", PickleLimits.Default, globals))
        with :? InvalidFileException ->
            None

    for globals in [ PickleGlobals.None; PickleGlobals.Numpy; PickleGlobals.PyTorch ] do
        match readWith globals with
        | Some value ->
            try
                NumpyArray.From(value, "input", "value").Bytes |> ignore
                NumpyArray.Integers(value, "input", "value") |> ignore
            with :? InvalidFileException ->
                ()
        | None -> ()

    PickleReader.ReadPrefix(ReadOnlyMemory bytes, "input", PickleLimits.Default, PickleGlobals.Any)
    |> ignore

let private readPyTorch (bytes: byte[]) =
    let file = PyTorchFile.Read(new MemoryStream(bytes), "input")

    // Each may repeat its elements up to 16 times the file's size.
    for tensor in Seq.truncate 16 file.Tensors do
        if int64 (tensor.ToBytes()).Length <> tensor.Bytes then
            fail $"{tensor.Name} has another length than it states"

        if not (obj.ReferenceEquals(file.Find tensor.Name, tensor)) then
            fail $"{tensor.Name} is not found"

/// The pickle of a zip with correct checksums. Its two storages have 64 bytes.
let private readPyTorchPickle (pickle: byte[]) =
    use stream = new MemoryStream()

    using (new ZipArchive(stream, ZipArchiveMode.Create, true)) (fun zip ->
        for name, content in
            [ "a/data.pkl", pickle
              "a/byteorder", "little"B
              "a/data/0", Array.init 64 byte
              "a/data/1", Array.init 64 byte ] do
            use part = zip.CreateEntry(name, CompressionLevel.NoCompression).Open()
            part.Write(ReadOnlySpan content))

    readPyTorch (stream.ToArray())

let private maxFiles = 64

/// Handles of archives that nobody references any more are closed by the collector.
let private closeHandles =
    let mutable inputs = 0

    fun () ->
        inputs <- inputs + 1

        if inputs % 128 = 0 then
            GC.Collect()
            GC.WaitForPendingFinalizers()

let private readAll (set: FileSet) =
    for i in 0 .. min maxFiles set.Files.Length - 1 do
        set.Read i |> accepted |> ignore

let private readArchive (bytes: byte[]) =
    withFile "archive" bytes (fun path ->
        Archive.openWith FileSet.defaultLimits (fun _ -> true) path |> accepted |> Option.iter readAll
        Archive.openNested FileSet.defaultLimits path |> accepted |> Option.iter readAll)

    closeHandles ()

/// Corrects the checksum of every header of a tar, which a fuzzer does not find by itself.
let private withChecksums (bytes: byte[]) =
    let bytes = Array.copy bytes

    for start in 0..512 .. bytes.Length - 512 do
        let block = Span(bytes, start, 512)

        if block.Slice(257, 5).SequenceEqual(ReadOnlySpan "ustar"B) then
            block.Slice(148, 8).Fill(byte ' ')
            let mutable sum = 0

            for value in block do
                sum <- sum + int value

            let digits = Convert.ToString(sum, 8).PadLeft(6, '0') + "\000 "
            Text.Encoding.ASCII.GetBytes(digits).CopyTo(block.Slice 148)

    bytes

let private readTar bytes =
    let bytes = withChecksums bytes
    let scan = TarScan(new MemoryStream(bytes), "input")

    try
        while scan.Next() do
            if scan.Kind = TarEntryKind.File && scan.Length <= int64 bytes.Length then
                scan.Content() |> ignore
    with :? InvalidFileException ->
        ()

    readArchive bytes

let targets =
    [ { Name = "pickle"; MaxBytes = 2048; Factor = 1000L; Read = readPickle }
      { Name = "pytorch-zip"; MaxBytes = 4096; Factor = 1000L; Read = readPyTorch }
      { Name = "pytorch-stream"; MaxBytes = 4096; Factor = 1000L; Read = readPyTorch }
      { Name = "pytorch-pickle"; MaxBytes = 2048; Factor = 2000L; Read = readPyTorchPickle }
      { Name = "tar"; MaxBytes = 8192; Factor = 1000L; Read = readTar }
      { Name = "zip"; MaxBytes = 2048; Factor = 1000L; Read = readArchive } ]
