/// Commands that download and check data sets, convert networks, and use the zoo.
[<RequireQualifiedAccess>]
module internal NormFree.Cli.CommandTable.Files

open NormFree.Cli
open NormFree.Cli.CommandTable.Shared

let dataGet =
    { command
          "data get"
          "Downloads a data set, or the missing part of it, and checks its checksum."
          [ Options.Files.file |> Opt.about "Folder to write to." |> Opt.defaultsTo "data" |> _.Spec
            Options.Files.mirror.Spec
            Options.Files.retries.Spec ] with
        Operand =
            Some
                { Name = "NAME"
                  About = "The data set. The synthetic one has no files, and class folders are your own."
                  Least = 1
                  Many = false
                  Words = [ for dataset in NormFree.Data.RemoteDatasets.all -> dataset.Name ] } }

let dataCheck =
    { command "data check" "Reads every image of a data set and lists those that cannot be read." dataset with
        Required = [ Options.Data.dataset.Spec.Name ] }

let import =
    { command
          "import"
          "Writes a checkpoint from a PyTorch or safetensors file."
          ([ Options.Files.pytorch.Spec; Options.Files.safetensors.Spec; Options.Files.weights.Spec ]
           @ [ Options.Files.partial.Spec; Options.Files.allowNonFinite.Spec ]
           @ [ Options.Files.file |> about "Checkpoint to write." ]
           @ [ Options.Network.arch |> defaultsTo ""
               Options.Network.norm.Spec
               Options.Network.binarise.Spec
               Options.Network.shortcut.Spec
               Options.Network.estimator.Spec
               Options.Network.slopes.Spec
               Options.Network.stem.Spec
               Options.Network.width.Spec
               Options.Network.depth.Spec
               Options.Network.classes |> Opt.about "Classes (default: the data set's, or 1000)." |> defaultsTo ""
               Options.Recipe.recipe
               |> Opt.about "Rules for layer scales and binary filters."
               |> Opt.defaultsTo "published"
               |> Opt.group "Network"
               |> _.Spec
               Options.Data.dataset |> Opt.about "Take class names and normalisation from it." |> defaultsTo ""
               Options.Data.dataPath.Spec ]
           @ layout
           @ [ Options.Data.size |> about "Image side in pixels (default: the data set's, or 224)."
               Options.Data.resize.Spec
               Options.Data.normalisation.Spec ]) with
        Required = [ Options.Network.arch.Spec.Name; Options.Files.file.Spec.Name ] }

let export =
    { command
          "export"
          "Writes a PyTorch, safetensors, ONNX or packed file from a checkpoint."
          [ Options.Files.checkpoint |> about "Checkpoint to export, or zoo:NAME."
            Options.Files.format.Spec
            Options.Files.file.Spec
            Options.Files.dynamicBatch.Spec
            Options.Files.flatWeights.Spec ] with
        Required = [ Options.Files.checkpoint.Spec.Name; Options.Files.format.Spec.Name; Options.Files.file.Spec.Name ] }

let verify =
    { command
          "verify"
          "Compares a packed file with its checkpoint, layer by layer."
          ([ Options.Files.checkpoint |> about "Checkpoint of the packed file, or zoo:NAME."
             Options.Files.packed |> about "Packed file to compare, or zoo:NAME."
             Options.Files.verifyImages.Spec
             Options.Data.dataset |> Opt.about "Compare the accuracy on its test images too." |> defaultsTo ""
             Options.Data.dataPath.Spec ]
           @ layout
           @ [ Options.Data.testLimit.Spec; Options.Execution.threads.Spec; Options.Files.json.Spec ]) with
        Required = [ Options.Files.checkpoint.Spec.Name; Options.Files.packed.Spec.Name ] }

let private zooNetwork about = Some { Name = "NAME"; About = about; Least = 1; Many = false; Words = [] }

let zooList =
    command "zoo list" "Lists the trained networks that the tool contains; 'normfree zoo' does the same." []

let zooCard =
    { command "zoo card" "Prints the model card of a network." [] with
        Operand = zooNetwork "The network." }

let zooExport =
    { command
          "zoo export"
          "Writes the packed file of a network, and its checkpoint if the zoo has it."
          [ Options.Files.file |> Opt.about "Folder to write to." |> Opt.defaultsTo "." |> _.Spec ] with
        Operand = zooNetwork "The network." }

let zooAdd =
    { command
          "zoo add"
          "Adds or replaces a network in a checkout of NormFree: measures it and writes its files, card and page."
          [ Options.Files.runFolder.Spec
            Options.Files.file |> Opt.about "The checkout." |> Opt.defaultsTo "." |> _.Spec
            Options.Files.withCheckpoint.Spec
            Options.Files.trainedBy.Spec
            Options.Data.dataset |> about "Data set of a run that a script made (needs --data)."
            Options.Data.dataPath |> about "Where the run's data set is now." ] with
        Operand = zooNetwork "The name: data set, hyphen, architecture."
        Required = [ Options.Files.runFolder.Spec.Name ] }
