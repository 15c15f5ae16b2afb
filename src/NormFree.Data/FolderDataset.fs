/// <summary>Data sets of class folders or Parquet files, with their input size and preprocessing.</summary>
module internal NormFree.Data.FolderDataset

open System.IO
open NormFree.Formats

let private normalisationOf (classes: string[]) size =
    let isCifar kind = Set.ofArray classes = Set.ofArray (Cifar.classes kind)

    if size = Cifar.Side && isCifar Cifar.Ten then
        Normalisation.cifar10
    elif size = Cifar.Side && (isCifar Cifar.HundredFine || isCifar Cifar.HundredCoarse) then
        Normalisation.cifar100
    else
        Normalisation.imageNet

/// The note on class folders without splits.
let private flatNote (images: FolderImages) =
    [ if images.IsFlat then
          let names = images.Classes |> Array.map Printable.Text |> Printable.List |> String.concat ", "
          $"there is no folder train: the folders {names} are the classes" ]

/// The training images as test images, in part: chosen when the limits are known.
let private withoutTest (images: FolderImages) = ImageSource.subset [||] images.Train

let private ofImages name place options (images: FolderImages) : Result<Dataset, DataError list> =
    let probes =
        FolderPreprocessing.probe place (options.Folder.RequireReadable && not options.Folder.AllowLeftOut) images

    let size, augmentation = FolderPreprocessing.choose options.Lighting options.Size probes

    if not probes.Problems.IsEmpty then
        Error probes.Problems
    else
        Ok
            { Name = name
              Classes = images.Classes
              Train = images.Train
              Test = images.Test |> Option.defaultWith (fun () -> withoutTest images)
              Normalisation = normalisationOf images.Classes size
              Size = size
              Augmentation = augmentation
              Notes = flatNote images @ List.map string images.LeftOut @ FolderPreprocessing.note size probes }

let private folderOptions (options: DatasetOptions) =
    { options.Folder with TestOptional = options.Folder.TestOptional || options.HeldOut.IsSome }

/// The names of the column of labels in Parquet files.
let private labelNames (options: DatasetOptions) =
    match options.Labels with
    | Fine -> ParquetTable.labelNames
    | Coarse -> [ "coarse_label" ]

/// The images of class folders. A data set in files of its own is named.
let private openFolder limits folder path =
    match ImageFolder.openPath limits folder path with
    | Ok images -> Ok images
    | Error errors ->
        DatasetFiles.tryFind limits path |> Option.map List.singleton |> Option.defaultValue errors |> Error

/// <summary>Opens a folder or archive of class folders, or of Parquet files.</summary>
let openPath name options (path: string) : Result<Dataset, DataError list> =
    let limits, folder = FileSet.defaultLimits, folderOptions options

    (if ParquetImages.isParquet path then
         ParquetImages.openPath limits folder (labelNames options) path
     else
         openFolder limits folder path)
    |> Result.bind (ofImages name path options)
