/// Data sets: IDX files and CIFAR's batches.
module NormFree.Fuzz.DataTargets

open System
open NormFree.Data
open NormFree.Fuzz.Contract

let private maxImages = 16

let private loadAll (source: ImageSource) =
    for i in 0 .. min maxImages source.Count - 1 do
        source.Label i |> ignore
        source.Name i |> ignore

        match source.Load i with
        | Ok image when image.Pixels.Length <> 3 * image.Width * image.Height -> fail "an image of another size"
        | _ -> ()

/// Four files in memory: labels of `length` bytes, then images. Both splits have the same.
let private idxFiles (labels: byte[]) (images: byte[]) : FileSet =
    let prefixes = [| "train"; "t10k"; "emnist-letters-train"; "emnist-letters-test" |]

    { Place = "input"
      Files =
        [| for prefix in prefixes do
               $"{prefix}-images-idx3-ubyte"
               $"{prefix}-labels-idx1-ubyte" |]
      Folders = [||]
      Links = [||]
      Read = fun i -> Ok(if i % 2 = 0 then images else labels) }

let private readIdx (bytes: byte[]) =
    if bytes.Length > 0 then
        let labels, images = Array.splitAt (min (int bytes[0]) (bytes.Length - 1)) (Array.tail bytes)

        for set in [ IdxSet.Mnist; IdxSet.Emnist(Some EmnistSplit.Letters) ] do
            idxFiles labels images
            |> IdxSetReader.read set None
            |> acceptedAll
            |> Option.iter (fun (_, _, (train, test)) ->
                loadAll train
                loadAll test)

let private kinds = [| Cifar.Ten; Cifar.HundredFine; Cifar.HundredCoarse |]

/// The first byte chooses the data set.
let private readCifar parse (bytes: byte[]) =
    if bytes.Length > 0 then
        parse kinds[int bytes[0] % kinds.Length] "input" (Array.tail bytes)
        |> accepted
        |> Option.iter (fun records -> loadAll (Cifar.source [ records ]))

let targets =
    [ { Name = "idx"; MaxBytes = 1024; Factor = 1000L; Read = readIdx }
      { Name = "cifar"; MaxBytes = 6200; Factor = 200L; Read = readCifar Cifar.parse }
      { Name = "cifar-python"; MaxBytes = 6800; Factor = 400L; Read = readCifar CifarPython.parse } ]
