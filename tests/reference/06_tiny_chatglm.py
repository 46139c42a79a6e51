"""ChatGLM3 remote-code layout (transformer.encoder.layers.N.self_attention.query_key_value ...) made from tiny/glm's weights, and run with
the ORIGINAL modules of modeling_chatglm.py (put into chatglm_src/; used only to check). -> tiny/chatglm"""
import os; os.environ["HF_HUB_OFFLINE"]="1"
import sys; sys.path.insert(0,"lab/scripts")
import importlib; T=importlib.import_module("05_tiny")
import torch, json, math, types, shutil, re, transformers, peft
import torch.nn as nn, torch.nn.functional as F
from typing import *
from safetensors.torch import save_file, load_file
from peft import LoraConfig, get_peft_model, PeftModel
src=open("lab/chatglm_src/modeling_chatglm.py").read()
def cut(a,b): return src[src.index(a):src.index(b)]
ns=dict(torch=torch,nn=nn,F=F,math=math,LayerNorm=nn.LayerNorm,ChatGLMConfig=object,logger=None); exec("from typing import *",ns)
import tempfile, importlib.util
code="import torch, math, copy\nimport torch.nn.functional as F\nfrom torch import nn\nfrom torch.nn import LayerNorm\nfrom typing import *\nclass ChatGLMConfig: pass\n"+\
  cut("def split_tensor_along_last_dim","class ChatGLMPreTrainedModel(")+cut("class Embedding(torch.nn.Module)","class ChatGLMModel(")
f="lab/chatglm_src/_modules.py"; open(f,"w").write(code)
sp=importlib.util.spec_from_file_location("_modules",f); M=importlib.util.module_from_spec(sp); sp.loader.exec_module(M)
class Cfg(types.SimpleNamespace):
    def get(self,k,d=None): return getattr(self,k,d)
    def to_dict(self): return {k:v for k,v in vars(self).items() if k!="torch_dtype"}
def mkcfg():
    return Cfg(model_type="chatglm",architectures=["ChatGLMModel"],add_bias_linear=False,add_qkv_bias=True,apply_query_key_layer_scaling=True,
      apply_residual_connection_post_layernorm=False,attention_dropout=0.0,attention_softmax_in_fp32=True,bias_dropout_fusion=True,ffn_hidden_size=128,
      fp32_residual_connection=False,hidden_dropout=0.0,hidden_size=64,kv_channels=16,layernorm_epsilon=1.5625e-07,multi_query_attention=True,
      multi_query_group_num=2,num_attention_heads=4,num_layers=2,original_rope=True,padded_vocab_size=512,post_layer_norm=True,rmsnorm=True,rope_ratio=1,
      seq_length=128,use_cache=True,tie_word_embeddings=False,eos_token_id=2,pad_token_id=0,torch_dtype=torch.float32)
class ChatGLMModel(nn.Module):   # names and forward of the original, without the PreTrainedModel base
    def __init__(s,c):
        super().__init__(); s.embedding=M.Embedding(c)
        s.rotary_pos_emb=M.RotaryEmbedding(c.kv_channels//2,rope_ratio=c.rope_ratio,original_impl=c.original_rope,dtype=torch.float32)
        s.encoder=M.GLMTransformer(c); s.output_layer=nn.Linear(c.hidden_size,c.padded_vocab_size,bias=False); s.seq_length=c.seq_length
    def masks(s,ids,pm):
        full=torch.ones(ids.shape[0],ids.shape[1],ids.shape[1]).tril_()
        full=full*pm.unsqueeze(1); full-=pm.unsqueeze(-1)-1
        return (full<0.5).bool().unsqueeze_(1)
    def forward(s,ids,am=None):
        x=s.embedding(ids); full=s.masks(ids,am) if am is not None and not am.all() else None
        r=s.rotary_pos_emb(s.seq_length)[None,:ids.shape[1]].transpose(0,1).contiguous()
        h=s.encoder(x,full,rotary_pos_emb=r,use_cache=False)[0]
        return s.output_layer(h).transpose(0,1).contiguous()
class ChatGLMForConditionalGeneration(nn.Module):
    def __init__(s,c): super().__init__(); s.config=c; s.transformer=ChatGLMModel(c)
    def prepare_inputs_for_generation(s,*a,**k): raise NotImplementedError
    def forward(s,input_ids=None,attention_mask=None,labels=None,**k):
        lg=s.transformer(input_ids,attention_mask); loss=None
        if labels is not None: loss=F.cross_entropy(lg[...,:-1,:].float().reshape(-1,lg.shape[-1]),labels[...,1:].reshape(-1),ignore_index=-100)
        return types.SimpleNamespace(loss=loss,logits=lg)
def convert(g):
    o={"transformer.embedding.word_embeddings.weight":g["model.embed_tokens.weight"],"transformer.output_layer.weight":g["lm_head.weight"],
       "transformer.encoder.final_layernorm.weight":g["model.norm.weight"]}
    for i in range(2):
        a,b=f"model.layers.{i}.",f"transformer.encoder.layers.{i}."
        for w in("weight","bias"): o[b+"self_attention.query_key_value."+w]=torch.cat([g[a+f"self_attn.{x}_proj.{w}"] for x in "qkv"])
        o[b+"self_attention.dense.weight"]=g[a+"self_attn.o_proj.weight"]; o[b+"mlp.dense_h_to_4h.weight"]=g[a+"mlp.gate_up_proj.weight"]
        o[b+"mlp.dense_4h_to_h.weight"]=g[a+"mlp.down_proj.weight"]
        o[b+"input_layernorm.weight"]=g[a+"input_layernorm.weight"]; o[b+"post_attention_layernorm.weight"]=g[a+"post_attention_layernorm.weight"]
    o["transformer.rotary_pos_emb.inv_freq"]=1.0/(10000**(torch.arange(0,8,2).float()/8))
    return {k:v.clone().contiguous() for k,v in o.items()}
def build(path): 
    m=ChatGLMForConditionalGeneration(mkcfg()); print(m.load_state_dict(load_file(f"{path}/model.safetensors"))); return m.eval()
if __name__=="__main__":
    P="lab/tiny/chatglm"; shutil.rmtree(P,ignore_errors=True); os.makedirs(P)
    save_file(convert(load_file("lab/tiny/glm/model.safetensors")),f"{P}/model.safetensors",metadata={"format":"pt"})
    c=mkcfg().to_dict(); c.update(auto_map={"AutoConfig":"configuration_chatglm.ChatGLMConfig","AutoModelForCausalLM":"modeling_chatglm.ChatGLMForConditionalGeneration"},torch_dtype="float32",transformers_version="4.30.2")
    json.dump(c,open(f"{P}/config.json","w"),indent=2)
    m=build(P); b=T.batch("glm"); g=load_file("lab/tiny/glm/ref.safetensors")
    with torch.no_grad(): o=m(**b)
    mk=b["attention_mask"]==1; dd=(o.logits-g["logits"])[mk].abs().max().item()
    save_file({**b,"logits":o.logits},f"{P}/ref.safetensors")
    json.dump(dict(arch="chatglm",loss=o.loss.item(),max_diff_vs_transformers_glm=dd,default_target_modules=["query_key_value"],tensors={k:list(v.shape) for k,v in load_file(f"{P}/model.safetensors").items()}),open(f"{P}/ref.json","w"),indent=1)
    print("chatglm loss",o.loss.item(),"vs glm logits diff",dd)
    class Cls:
        @staticmethod
        def from_pretrained(path,**k): return build(path)
    T.put_adapter("chatglm",Cls,P,"adapter",LoraConfig(r=4,lora_alpha=8,lora_dropout=0.,task_type=None,target_modules=["query_key_value"]),b,train=True)
    T.put_adapter("chatglm",Cls,P,"adapter_all_linear",LoraConfig(r=4,lora_alpha=8,lora_dropout=0.,task_type=None,target_modules=["query_key_value","dense","dense_h_to_4h","dense_4h_to_h"]),b)
    for a in("adapter","adapter_all_linear"):
        f=f"{P}/{a}/adapter_config.json"; c=json.load(open(f)); c["task_type"]="CAUSAL_LM"; json.dump(c,open(f,"w"),indent=2)
